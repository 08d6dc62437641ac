"""Recipe -> objects: the only place that assembles. What a modality needs is named in `_MODALITIES`."""

import logging
import math
import os
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import torch
from torch import nn

from r2mae.datasets.source import SampleSource, hold_out
from r2mae.errors import InputError
from r2mae.masking.rng import RandomStream, host_bits
from r2mae.schema.pretrain import Recipe, parse_recipe, recipe_document
from r2mae.training.checkpoint import MODEL, load_tensors, read_manifest
from r2mae.training.optimizer import LearningRate, build_adamw
from r2mae.training.run_folder import RunFolder, commit, open_run, versions

AnyRecipe = Recipe[Any, Any]


def _build_vision(recipe: AnyRecipe) -> nn.Module:
    from r2mae.datasets.card import load_card
    from r2mae.interop.weights import load_initial_weights
    from r2mae.models.timm_encoder import create_encoder
    from r2mae.models.vision import MaskedAutoencoder

    data, section = recipe.data, recipe.model
    card = load_card(data.card)
    encoder = create_encoder(
        section.encoder,
        image_size=data.image_size,
        channels=data.channels,
        patch_size=section.patch_size,
        width=section.width,
        depth=section.depth,
        heads=section.heads,
    )
    model = MaskedAutoencoder(
        encoder,
        decoder_depth=section.decoder_depth,
        decoder_width=section.decoder_width,
        decoder_heads=section.decoder_heads,
        normalize_targets=section.normalize_targets,
        pixel_mean=_per_channel(card.mean, data.channels),
        pixel_std=_per_channel(card.std, data.channels),
    )
    if section.init_from is not None:
        load_initial_weights(model, section.init_from)
    return model


def _per_channel(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """A card's statistics for grey or colour: grey takes their mean, colour repeats grey's."""
    return values if len(values) == channels else (sum(values) / len(values),) * channels


def _open_vision(recipe: AnyRecipe, split: str) -> SampleSource:
    from r2mae.datasets.vision import open_images

    return open_images(recipe.data, split)


def _open_vision_paths(recipe: AnyRecipe, paths: list[str]) -> SampleSource:
    from r2mae.datasets.vision import open_image_paths

    return open_image_paths(recipe.data, paths)


@dataclass(frozen=True)
class _Modality:
    build_model: Callable[[AnyRecipe], nn.Module]
    open_split: Callable[[AnyRecipe, str], SampleSource]
    open_paths: Callable[[AnyRecipe, list[str]], SampleSource]


_MODALITIES = {"vision": _Modality(_build_vision, _open_vision, _open_vision_paths)}


def build_model(recipe: AnyRecipe) -> nn.Module:
    """The recipe's model with initial weights that depend on its seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(host_bits(recipe.seed, RandomStream.WEIGHTS) >> 1)
        return _MODALITIES[recipe.modality].build_model(recipe)


def build_outline(recipe: AnyRecipe) -> nn.Module:
    """The recipe's model without memory for its weights (on torch's meta device): shapes and costs, at once.

    A recipe with `init_from` is built in full, so that what does not fit is found.
    """
    if recipe.model.init_from is not None:
        return build_model(recipe)
    with torch.device("meta"):
        return _MODALITIES[recipe.modality].build_model(recipe)


def open_split(recipe: AnyRecipe, split: str) -> SampleSource:
    """All samples of a split, "train" or "test"."""
    return _MODALITIES[recipe.modality].open_split(recipe, split)


def open_paths(recipe: AnyRecipe, paths: list[str]) -> SampleSource:
    """Samples that a user names on the command line, read as the recipe reads its own."""
    return _MODALITIES[recipe.modality].open_paths(recipe, paths)


def count_training_samples(recipe: AnyRecipe) -> tuple[int, dict[str, Any]]:
    """(samples that train, what is known of the data); a hub data set is counted by its card, not fetched.

    Raises: InputError when a root is given and the data is not there, or nothing tells how many there are.
    """
    from r2mae.datasets.card import load_card, locate

    card = load_card(recipe.data.card)
    about = {"title": card.title, "licence": card.licence}
    if card.embedded is None and locate(card, recipe.data.root) is None:
        known = card.num_samples.get("train")
        if known is None:
            raise InputError("data.root must be given for this card, got nothing. Name the folder of your data.")
        return known - round(recipe.data.held_out * known), about | {"found": f"not here; hub id {card.hub}"}
    train, held_out = open_training_data(recipe)
    found = f"{len(train):,} samples to train, {len(held_out):,} held out, fingerprint {train.fingerprint}"
    return len(train), about | {"found": found}


def open_training_data(recipe: AnyRecipe) -> tuple[SampleSource, SampleSource]:
    """(samples that train, samples held out of the training split)."""
    return hold_out(open_split(recipe, "train"), recipe.data.held_out)


@dataclass(frozen=True)
class Plan:
    """What follows from a recipe and its data; printed by `check`, never accepted in a recipe."""

    train_samples: int
    tokens_per_sample: int
    steps: int
    warmup_steps: int
    epochs: float
    accumulation: int
    per_device_samples: int
    peak_lr: float
    watch_every_steps: int
    checkpoint_every_steps: int
    log_every_steps: int


def make_plan(recipe: AnyRecipe, train_samples: int, tokens_per_sample: int) -> Plan:
    """Turn epochs, samples or tokens into steps, and fill in what the recipe leaves to follow.

    Raises: InputError when warm-up is no shorter than training.
    """
    schedule, batch = recipe.schedule, recipe.batch.global_samples
    if schedule.steps is not None:
        steps = schedule.steps
    elif schedule.epochs is not None:
        steps = math.ceil(schedule.epochs * train_samples / batch)
    elif schedule.samples is not None:
        steps = math.ceil(schedule.samples / batch)
    else:
        steps = math.ceil((schedule.tokens or 0) / (batch * tokens_per_sample))
    warmup = schedule.warmup_steps or round((schedule.warmup_epochs or 0) * train_samples / batch)
    if warmup >= steps:
        raise InputError(f"schedule: warm-up must be shorter than training, got {warmup} of {steps} steps. Shorten it.")
    tenth = max(1, steps // 10)
    return Plan(
        train_samples=train_samples,
        tokens_per_sample=tokens_per_sample,
        steps=steps,
        warmup_steps=warmup,
        epochs=round(steps * batch / train_samples, 3),
        accumulation=recipe.accumulation,
        per_device_samples=recipe.per_device_samples,
        peak_lr=recipe.peak_lr,
        watch_every_steps=recipe.watch.every_steps or tenth,
        checkpoint_every_steps=recipe.checkpoint.every_steps or tenth,
        log_every_steps=max(1, min(50, steps // 100)),
    )


@dataclass(frozen=True)
class Training:
    """Everything that `pretrain` runs."""

    trainer: Any
    module: Any
    plan: Plan
    resume_from: str | None

    def run(self) -> dict[str, float]:
        """Train to the end; gives the last measurements."""
        self.trainer.fit(self.module, ckpt_path=self.resume_from)
        return dict(self.module.latest_metrics)


def build_training(recipe: AnyRecipe, folder: RunFolder, *, fresh: bool = False, run_id: str = "") -> Training:
    """Model, data, module and trainer of a run. Writes nothing yet.

    fresh: False continues from the folder's last checkpoint when there is one.
    run_id: what loggers know the run by, the same when it is continued; default: the folder's name.

    Raises: InputError for anything in recipe, data or folder that cannot work.
    """
    from r2mae.datasets.source import StreamDataset
    from r2mae.datasets.stream import Stream
    from r2mae.training.module import Masker, Pretraining
    from r2mae.training.watch import check_watchable

    train, held_out = open_training_data(recipe)
    check_watchable(recipe.watch.samples, train, held_out)
    model = build_model(recipe)
    plan = make_plan(recipe, len(train), math.prod(model.grid))  # type: ignore[arg-type]
    optimizer = recipe.optimizer
    module = Pretraining(
        model,
        masker=Masker(recipe.mask.law, recipe.mask.pattern, recipe.seed, plan.steps),
        dataset=StreamDataset(train, Stream(len(train), recipe.seed)),
        global_samples=recipe.batch.global_samples,
        per_device_samples=plan.per_device_samples,
        learning_rate=LearningRate(
            plan.peak_lr,
            plan.steps,
            plan.warmup_steps,
            recipe.schedule.decay,
            recipe.schedule.final_lr_fraction,
        ),
        build_optimizer=partial(
            build_adamw, weight_decay=optimizer.weight_decay, betas=optimizer.betas, eps=optimizer.eps
        ),
        clip_norm=optimizer.clip_norm,
        num_workers=recipe.hardware.workers,
        description=describe(recipe, model, train),
    )
    if recipe.hardware.compile:
        model.compile_blocks()  # type: ignore[operator]
    last = None if fresh else folder.pointer("last")
    if last is not None:
        _check_same_data(last, train)
    trainer = _build_trainer(recipe, folder, plan, train, held_out, run_id)
    return Training(trainer, module, plan, str(last) if last else None)


def describe(recipe: AnyRecipe, model: nn.Module, data: SampleSource) -> dict[str, Any]:
    """What a checkpoint says of itself beside its tensors."""
    return {
        "recipe": recipe_document(recipe),
        "law": recipe.mask.law.to_dict(),
        "preprocessing": {
            name: buffer.flatten().tolist() for name, buffer in model.named_buffers() if name.startswith("pixel_")
        },
        "data": {"fingerprint": data.fingerprint, "samples": len(data)},
        "commit": commit(),
        "versions": versions(),
    }


def _check_same_data(checkpoint: Any, data: SampleSource) -> None:
    before = read_manifest(checkpoint)["data"]
    if before["fingerprint"] != data.fingerprint:
        raise InputError(
            f"data must be what {checkpoint} was trained on (fingerprint {before['fingerprint']}, "
            f"{before['samples']} samples), got {data.fingerprint} with {len(data)}. Restore it, or use --fresh."
        )


def choose_accelerator(recipe: AnyRecipe) -> str:
    """ "gpu" or "cpu".

    Raises: InputError when a recipe wants more GPUs than there are.
    """
    hardware, available = recipe.hardware, torch.cuda.device_count()
    if hardware.accelerator == "cpu" or (hardware.accelerator == "auto" and not available):
        return "cpu"
    if available < hardware.devices:
        remedy = "Set hardware.devices, or hardware.accelerator: cpu."
        raise InputError(
            f"hardware.devices must be at most the {available} GPUs here, got {hardware.devices}. {remedy}"
        )
    return "gpu"


def _build_trainer(
    recipe: AnyRecipe,
    folder: RunFolder,
    plan: Plan,
    train: SampleSource,
    held_out: SampleSource,
    run_id: str,
) -> Any:
    _quiet_lightning()
    import pytorch_lightning as lightning
    from pytorch_lightning.strategies import DDPStrategy

    from r2mae.training.checkpoint_io import FolderCheckpointIO
    from r2mae.training.keeper import Keeper
    from r2mae.training.progress import Progress
    from r2mae.training.watch import Watch, WatchSettings

    hardware = recipe.hardware
    settings = asdict(WatchSettings(plan.watch_every_steps, recipe.watch.samples, recipe.watch.ratios))
    settings |= {name: getattr(recipe.watch, name) for name in settings if isinstance(settings[name], bool)}
    strategy: Any = "auto"
    if hardware.nodes * hardware.devices > 1:
        strategy = DDPStrategy(gradient_as_bucket_view=True, broadcast_buffers=False, timeout=timedelta(seconds=1800))
    return lightning.Trainer(
        accelerator=choose_accelerator(recipe),
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        strategy=strategy,
        precision=hardware.precision,
        max_epochs=1,  # the stream has no epochs: one pass over its positions is the whole training
        accumulate_grad_batches=plan.accumulation,
        logger=_build_loggers(recipe, folder, run_id),
        callbacks=[
            Progress(recipe.batch.global_samples, plan.log_every_steps),
            Watch(WatchSettings(**settings), train, held_out, folder, plan.per_device_samples),
            Keeper(folder, plan.checkpoint_every_steps),
        ],
        plugins=[FolderCheckpointIO()],
        default_root_dir=str(folder.path),
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
    )


def _build_loggers(recipe: AnyRecipe, folder: RunFolder, run_id: str) -> list[Any]:
    from r2mae.training.progress import CsvLogger

    loggers: list[Any] = [CsvLogger(folder)] if "csv" in recipe.log else []
    if "wandb" in recipe.log:
        try:
            import wandb  # noqa: F401
            from pytorch_lightning.loggers import WandbLogger
        except ImportError:
            raise InputError('log: wandb must be installed, got none. Run: pip install "r2mae[wandb]".') from None
        loggers.append(
            WandbLogger(
                project="r2mae",
                name=folder.path.name,
                save_dir=str(folder.path),
                id=run_id or folder.path.name,
                resume="allow",
            )
        )
    return loggers


def is_first_process() -> bool:
    """True in the process that writes: rank 0, known before any process group exists."""
    return all(int(os.environ.get(name, "0")) == 0 for name in ("LOCAL_RANK", "NODE_RANK", "RANK"))


def _quiet_lightning() -> None:
    """Lightning's banners and hints are about its own defaults, which the engine sets on purpose."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning.*")
    warnings.filterwarnings("ignore", module="lightning_fabric.*")


@dataclass(frozen=True)
class LoadedRun:
    """A trained run, ready to be used."""

    folder: RunFolder
    recipe: AnyRecipe
    manifest: dict[str, Any]
    model: nn.Module


def load_run(path: str, checkpoint: str = "last") -> LoadedRun:
    """A run's model with the weights of a checkpoint: "last", "best" or "step_<n>".

    Raises: InputError when the run or the checkpoint is missing or damaged.
    """
    folder = open_run(path)
    found = folder.pointer(checkpoint) if checkpoint in ("last", "best") else folder.checkpoints / checkpoint
    if found is None or not found.is_dir():
        known = ", ".join(["last", "best", *(saved.name for saved in folder.saved())])
        raise InputError(f"--checkpoint must be one that {path} has, got {checkpoint!r}. Known: {known}.")
    manifest = read_manifest(found)
    document = manifest["recipe"]
    document = document | {"model": document["model"] | {"init_from": None}}  # the weights are here
    recipe = parse_recipe(document, str(found))
    model = build_model(recipe)
    weights = load_tensors(found, MODEL, manifest)
    try:
        model.load_state_dict({name.removeprefix("model."): tensor for name, tensor in weights.items()})
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise InputError(f"{found / MODEL} must hold the weights of its recipe, got: {first}") from None
    return LoadedRun(folder, recipe, manifest, model.eval())
