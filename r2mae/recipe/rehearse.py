"""One training step of a recipe on a fake CUDA device, in seconds and without a GPU.

The step runs as in training, with the recipe's world size: masks, forward under its
precision, all-reduce, clipping, fused AdamW. Errors that a GPU would raise show here.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import torch
import torch.distributed as dist
from torch.autograd.graph import saved_tensors_hooks

from r2mae.data.source import Batch
from r2mae.data.stream import MicroBatches
from r2mae.errors import InputError
from r2mae.modalities import find_wing
from r2mae.models.meta_pass import SavedStorages
from r2mae.models.precision import autocast
from r2mae.recipe.assembly import is_data_here
from r2mae.recipe.load import parse_recipe
from r2mae.recipe.training import build_engine
from r2mae.schema.document import apply_overrides
from r2mae.schema.recipe import AnyRecipe, recipe_document
from r2mae.training.fake_device import FakeDevice, fake_device
from r2mae.training.module import Engine, PreparedStream
from r2mae.training.run_folder import RunFolder
from r2mae.training.start import is_awaited

_MOMENTS = 2  # that AdamW keeps of a parameter, beside its gradient


@dataclass(frozen=True)
class Rehearsal:
    """What a rehearsed step showed.

    world_size: ranks of the recipe.
    waits: what makes the host wait for the device -> times in a step.
    unused: parameters that train and get no gradient; DDP waits for them in vain.
    nbytes: of weights and their average, gradients, moments and activations on one
        device, at least.
    has_stand_in: whether random samples took the place of data that is not here.
    """

    world_size: int
    waits: dict[str, int]
    unused: tuple[str, ...]
    nbytes: int
    has_stand_in: bool


def rehearse(recipe: AnyRecipe) -> Rehearsal:
    """Run a step. The device and the other ranks are fake; so is data that is not here.

    Raises: InputError for what a recipe cannot do; whatever the model raises otherwise.
    """
    # Layers are not compiled: the compiler would ask the driver for its device.
    changes = ["hardware.compile=false", "hardware.accelerator=cpu"]
    waits_for_run = is_awaited(recipe.model.init_from)
    if waits_for_run:  # whose tokenizer, or genes, the data may need
        changes.append("model.init_from=null")
    if is_data_here(recipe) and not waits_for_run:
        return _rehearse(_with(recipe, changes), has_stand_in=False)
    with (
        tempfile.TemporaryDirectory(prefix="r2mae-") as folder,
        patch.dict("os.environ", XDG_CACHE_HOME=folder),  # where stores are built
    ):
        files = find_wing(recipe.modality).stand_in(recipe, Path(folder))
        files.append("schedule={steps: 2}")
        return _rehearse(_with(recipe, [*changes, *files]), has_stand_in=True)


def _with(recipe: AnyRecipe, settings: list[str]) -> AnyRecipe:
    document = apply_overrides(recipe_document(recipe), settings)
    return parse_recipe(document, "the rehearsed recipe")


def _rehearse(recipe: AnyRecipe, *, has_stand_in: bool) -> Rehearsal:
    world_size = recipe.hardware.replicas
    engine, batch = first_step(recipe, world_size)
    with _fake_ranks(world_size), fake_device() as device:
        nbytes = _step(engine, device, batch, recipe)
    unused = _unused_parameters(engine, recipe)
    return Rehearsal(world_size, dict(device.waits), unused, nbytes, has_stand_in)


def first_step(recipe: AnyRecipe, world_size: int) -> tuple[Engine, Batch]:
    """The engine of a recipe, and the first micro-batch of rank 0.

    That of the last rank is read too, so that a sample which is missing there shows.
    """
    engine, _, _ = build_engine(recipe, RunFolder("runs/none"), None)
    settings = engine.settings
    stream = PreparedStream(engine.dataset, engine.objective, settings.global_samples)
    for rank in sorted({world_size - 1, 0}, reverse=True):
        micro_batches = MicroBatches(
            settings.global_samples,
            settings.per_device_samples,
            engine.num_steps,
            rank=rank,
            world_size=world_size,
        )
        batch = stream.__getitems__(next(iter(micro_batches)))
        if "error" in batch:
            raise InputError(batch["error"])
    return engine, batch


def _step(
    engine: Engine,
    device: FakeDevice,
    batch: Batch,
    recipe: AnyRecipe,
) -> int:
    """One step in the order of `step.py`; gives the bytes on the device, at least."""
    hardware, model, step = recipe.hardware, engine.model.train(), engine.step
    device.put(model)
    optimizer = engine.build_optimizer(model)
    weights = dict(model.named_parameters())
    saved = SavedStorages(weights)
    moved = device.batch(batch)
    step.copy_batch_norm()
    step.start(moved, optimizer)
    with (
        autocast("cuda", hardware.precision),
        saved_tensors_hooks(saved.add, lambda tensor: tensor),
    ):
        step.forward(moved)
    trained = [weight for weight in weights.values() if weight.requires_grad]
    for weight in trained:  # in place of backward
        weight.grad = device.tensor(weight.detach())
    step.finish_gradients(optimizer, hardware.replicas, accumulation=1)
    optimizer.step()
    step.finish()
    all_bytes = sum(weight.nbytes for weight in weights.values())
    trained_bytes = sum(weight.nbytes for weight in trained)
    return all_bytes + _state_bytes(recipe, trained_bytes, saved.nbytes)


def _state_bytes(recipe: AnyRecipe, trained: int, activations: int) -> int:
    """Bytes on one device beside the complete weights, where a step needs most.

    trained: bytes of the trained weights.
    activations: bytes at the end of forward.
    """
    if recipe.hardware.strategy == "fsdp":
        # Shards of weights and moments, and of gradients until backward begins. When it
        # ends, gradients are complete and activations are gone.
        share = trained // recipe.hardware.replicas
        return (1 + _MOMENTS) * share + max(share + activations, trained)
    has_average = recipe.training.ema is not None
    return (1 + _MOMENTS + has_average) * trained + activations


def _unused_parameters(engine: Engine, recipe: AnyRecipe) -> tuple[str, ...]:
    """Run backward of two samples on a fake CPU; gives the parameters it does not reach."""
    samples = engine.dataset.__getitems__([0, 1])
    batch = engine.objective.prepare(samples, 0)
    model, host = engine.model, torch.device("cpu")
    with fake_device(host) as device:
        device.put(model)
        moved = device.batch(batch)
        with autocast("cpu", recipe.hardware.precision):
            loss = engine.objective.loss(model, moved).total
        loss.backward()
    return tuple(
        name
        for name, weight in model.named_parameters()
        if weight.requires_grad and weight.grad is None
    )


@contextmanager
def _fake_ranks(world_size: int) -> Iterator[None]:
    """A process group of that size in which only rank 0 is real; others answer at once."""
    if world_size == 1:
        yield
        return
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=world_size)
    try:
        yield
    finally:
        dist.destroy_process_group()
