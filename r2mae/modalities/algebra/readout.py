"""The networks of a run as arrays: now, and as they were initialised.

Shapes: T triples, N elements, F functions, M neurons.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from r2mae.loaded_run import LoadedRun
from r2mae.modalities.algebra.irreps import Floats, components_of
from r2mae.modalities.algebra.spectrum import Neurons

ALIVE = 1e-3  # share of the largest neuron's energy below which a neuron is dead


def neurons_of(model: Any, group_name: str) -> Neurons:
    """The neurons of a two-layer network, in float64."""
    functions = model.functions().detach().cpu().double().numpy()
    components = components_of(group_name)
    varying = tuple(one for one in components if not one.is_trivial)
    return Neurons(functions, model.triads(), varying)


def initial_model(loaded: LoadedRun) -> Any:
    """The model before training of a run without `init_from`, from its seed."""
    return loaded.wing.build_model(loaded.recipe)


def is_alive(neurons: Neurons) -> np.ndarray:
    """(M,) bool: neurons that weight decay has not driven to 0."""
    squares = np.square(neurons.functions).sum(axis=(0, 1))
    alive: np.ndarray = squares > ALIVE * squares.max()
    return alive


def product_logits(model: Any, functions: Floats | None = None) -> Floats:
    """(T, N) logits of the products of all triples.

    functions: (F, N, M) weights of the two-layer network in place of its own.
    """
    triples: Tensor = model.curve.triples
    hidden = torch.zeros_like(triples, dtype=torch.bool)
    hidden[:, 2] = True
    with torch.no_grad():
        if functions is None:
            logits = model.slot_logits(triples, hidden)[:, -1]
            return np.asarray(logits.cpu().double().numpy())
        from r2mae.modalities.algebra.models.two_layer import ACTIVATIONS

        first, second, product = (functions[place] for place in model.triads()[2])
        rows = triples.cpu().numpy()
        total = torch.from_numpy(first[rows[:, 0]] + second[rows[:, 1]])
        activated = ACTIVATIONS[model.activation](total).numpy()
        result: Floats = activated @ product.T
        return result


def accuracies(model: Any, logits: Floats) -> dict[str, float]:
    """Accuracy of logits (T, N) on the triples that train, and on all others."""
    products = model.curve.triples[:, 2].cpu().numpy()
    hits = logits.argmax(axis=1) == products
    is_training = model.curve.is_training.cpu().numpy()
    return {
        "train_accuracy": float(hits[is_training].mean()),
        "test_accuracy": float(hits[~is_training].mean()),
    }
