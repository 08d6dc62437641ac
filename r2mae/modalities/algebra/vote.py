"""The majority vote: what a network's neurons compute together.

A neuron in component c, averaged over all pairs of a left and a right translation (which
uniform phases do for many neurons), adds l P_c(g1 g2, g) to the logit of g, where P_c is
the projector on the component and l = 2 T_c / (N D), D its dimension. The noise of single
neurons cancels. The sum of these over neurons is the vote: a function of g1 g2 g^-1,
largest at the identity, and an indicator of it if all components weigh alike.

Shapes: T triples, N elements, M neurons.
"""

from typing import Any

import numpy as np

from r2mae.modalities.algebra.irreps import Floats
from r2mae.modalities.algebra.readout import accuracies, product_logits
from r2mae.modalities.algebra.spectrum import Neurons, triple_sum

_SUBSETS = 10  # random subsets of each size


def vote_table(neurons: Neurons) -> Floats:
    """(N, N) logits of each element (column) if the product is the row."""
    places = list(neurons.triads[2])
    size = neurons.functions.shape[1]
    table = np.zeros((size, size))
    for number in np.unique(neurons.winners):
        component = neurons.components[number]
        parts = neurons.functions[places][:, :, neurons.winners == number]
        weight = 2 * triple_sum(component, *parts).sum()
        basis = component.basis
        table += weight / (size * basis.shape[1]) * basis @ basis.T
    return table


def score_vote(model: Any, neurons: Neurons) -> dict[str, Any]:
    """Accuracy of the network, of its winning components alone, and of the vote.

    explained: share of the variance of the network's centred logits (R^2).
    """
    products = model.curve.triples[:, 2].cpu().numpy()
    logits = {
        "network": product_logits(model),
        "winning components": product_logits(model, neurons.winners_only()),
    }
    if model.activation == "quadratic":
        logits["vote"] = vote_table(neurons)[products]
    own = _centred(logits["network"])
    scores = {}
    for name, values in logits.items():
        rest = np.square(own - _centred(values)).sum()
        explained = float(1 - rest / np.square(own).sum())
        scores[name] = accuracies(model, values) | {"explained": explained}
    return scores


def score_subsets(model: Any, neurons: Neurons) -> list[dict[str, float]]:
    """Accuracy on all triples of the sum of n random neurons, for n = 1, 2, 4, ..."""
    draw = np.random.default_rng(0)
    total = neurons.functions.shape[2]
    products = model.curve.triples[:, 2].cpu().numpy()
    sizes = [*(2**power for power in range(20) if 2**power < total), total]
    rows = []
    for size in sizes:
        repeats = _SUBSETS if size < total else 1
        hits = []
        for _ in range(repeats):
            chosen = draw.choice(total, size, replace=False)
            logits = product_logits(model, neurons.functions[:, :, chosen])
            hits.append((logits.argmax(axis=1) == products).mean())
        rows.append({"neurons": size, "accuracy": float(np.mean(hits))})
    return rows


def _centred(logits: Floats) -> Floats:
    centred: Floats = logits - logits.mean(axis=1, keepdims=True)
    return centred
