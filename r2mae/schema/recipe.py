"""Sections that recipes of all tasks and modalities share, and derived values."""

from typing import Any, Generic, Literal, TypeVar

from pydantic import Field, model_validator

from r2mae.schema.section import Section, exactly_one

# Upper bounds that only typing errors exceed.
HUGE = 1 << 40
MAX_SEED = (1 << 31) - 1


class BatchSection(Section):
    """`batch`: batch sizes, in samples.

    global_samples: per optimizer step, over all devices.
    per_device_samples: per device and micro-batch. Gradients are accumulated until
        global_samples are reached. null: no accumulation.
    """

    global_samples: int = Field(ge=1, le=1 << 24)
    per_device_samples: int | None = Field(default=None, ge=1, le=1 << 24)


class OptimizerSection(Section):
    """`optimizer`: AdamW.

    lr: peak learning rate.
    lr_per_256_samples: peak learning rate for a global batch of 256 samples, scaled
        linearly with batch.global_samples. Set exactly one of the two.
    weight_decay: of weights; biases, norms and learned tokens have none.
    betas: decay rates of the moments. The second is 0.95, as is usual for MAE.
    eps: added to the denominator.
    clip_norm: maximum norm of the gradient; null for no clipping.
    """

    lr: float | None = Field(default=None, gt=0, le=10)
    lr_per_256_samples: float | None = Field(default=None, gt=0, le=10)
    weight_decay: float = Field(default=0.05, ge=0, le=10)
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = Field(default=1e-8, gt=0, le=1)
    clip_norm: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _check(self) -> "OptimizerSection":
        exactly_one(self, "lr", "lr_per_256_samples")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be in [0, 1), got {list(self.betas)}.")
        return self


class ScheduleSection(Section):
    """`schedule`: length of training and learning-rate schedule.

    epochs, steps, samples, tokens: length of training; set exactly one.
    warmup_epochs, warmup_steps: length of the linear warmup; set at most one.
    decay: of the learning rate after the warmup.
    final_lr_fraction: last learning rate as a fraction of the peak, in [0, 1].
    """

    epochs: float | None = Field(default=None, gt=0, le=1e9)
    steps: int | None = Field(default=None, ge=1, le=HUGE)
    samples: int | None = Field(default=None, ge=1, le=HUGE)
    tokens: int | None = Field(default=None, ge=1, le=1 << 50)
    warmup_epochs: float | None = Field(default=None, ge=0, le=1e9)
    warmup_steps: int | None = Field(default=None, ge=0, le=HUGE)
    decay: Literal["cosine", "linear", "constant"] = "cosine"
    final_lr_fraction: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _check(self) -> "ScheduleSection":
        exactly_one(self, "epochs", "steps", "samples", "tokens")
        if self.warmup_epochs is not None and self.warmup_steps is not None:
            raise ValueError(
                "must set at most one of warmup_epochs, warmup_steps, got both."
            )
        return self


class HardwareSection(Section):
    """`hardware`: where and how to run.

    It may change when a run is continued; the batches and masks do not depend on it.

    accelerator: "auto" uses a GPU where there is one.
    nodes: number of machines.
    devices: processes per machine, one per GPU.
    precision: "32-true", or "bf16-mixed" for automatic mixed precision.
    tf32: let GPUs round the factors of float32 matrix products to TF32, with 10 bits of
        mantissa: several times faster than float32. Convolutions do so in any case.
    strategy: "ddp" replicates the model on each device; "fsdp" divides weights, gradients
        and the optimizer's moments among the devices between steps (FSDP2).
    compile: use torch.compile.
    recompute: "blocks" keeps only the inputs of repeated blocks and computes their
        activations again in backward (activation checkpointing): less memory, about a
        third more time.
    deterministic: use deterministic algorithms only; slower.
    workers: data loader processes per device; 0 loads in the training process.
    timeout_seconds: how long ranks wait for one that does not respond.
    """

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    nodes: int = Field(default=1, ge=1, le=4096)
    devices: int = Field(default=1, ge=1, le=1024)
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    tf32: bool = False
    strategy: Literal["ddp", "fsdp"] = "ddp"
    compile: bool = False
    recompute: Literal["blocks"] | None = None
    deterministic: bool = False
    workers: int = Field(default=0, ge=0, le=256)
    timeout_seconds: int = Field(default=1800, ge=10, le=86400)

    @property
    def replicas(self) -> int:
        """Number of training processes, over all machines."""
        return self.nodes * self.devices


class WatchSection(Section):
    """`watch`: measurements on held-out samples during training.

    With the defaults all measurements together cost at most 10 % of the FLOPs of training,
    as `r2mae check` prints them.

    every_steps: steps between measurements; null for a tenth of training, or more where
        that would cost too much. The last step is always measured.
    samples: number of held-out samples to use, at most; null for 1,000, or fewer, down
        to 50, where even the measurement of the last step would cost too much.
    """

    every_steps: int | None = Field(default=None, ge=1, le=HUGE)
    samples: int | None = Field(default=None, ge=8, le=1 << 20)


class TrainingSection(Section):
    """`training`: a moving average of the weights, and steps that are not finite.

    The update of a step whose loss or gradient is not finite is never applied.

    ema: decay of an exponential moving average of the weights, 0.9999 for example, which
        checkpoints keep beside the weights; `--weights ema` uses it. null for none.
    on_nonfinite: "stop" ends training with the weights before the step; "skip" continues
        with the next step.
    max_skipped_steps: with "skip", training ends when more steps were skipped.
    """

    ema: float | None = Field(default=None, gt=0, lt=1)
    on_nonfinite: Literal["stop", "skip"] = "stop"
    max_skipped_steps: int = Field(default=10, ge=0, le=HUGE)


class CheckpointSection(Section):
    """`checkpoint`: the complete training state; the last two and the best are kept.

    every_steps: steps between checkpoints; null for a tenth of training. The last step
        is always saved.
    """

    every_steps: int | None = Field(default=None, ge=1, le=HUGE)


class DataSection(Section):
    """What the engine reads of every modality's data section.

    held_out: share of the training split that is measured and never trains.
    """

    held_out: float = Field(default=0.05, gt=0, lt=1)


class ModelSection(Section):
    """What the engine reads of every modality's model section.

    init_from: a run, or what else the modality can load weights from; null starts from random weights.
    """

    init_from: str | None = None


DataT = TypeVar("DataT", bound=DataSection)
ModelT = TypeVar("ModelT", bound=ModelSection)


Logger = Literal["csv", "tensorboard", "wandb", "wandb_checkpoint"]


class Recipe(Section, Generic[DataT, ModelT]):
    """One recipe file.

    task: "pretrain" or "finetune".
    modality: name of the wing that reads data and builds models.
    seed: of weights, masks, order of samples and augmentation.
    data, model: sections of the modality.
    batch, optimizer, schedule, watch, checkpoint, training, hardware: see their sections.
    log: where metrics are written: any of "csv", "tensorboard", "wandb" and "wandb_checkpoint", which is wandb with the
        best checkpoint as an artifact.
    """

    task: str
    modality: str
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    data: DataT
    model: ModelT
    batch: BatchSection
    optimizer: OptimizerSection
    schedule: ScheduleSection
    watch: WatchSection = WatchSection()
    checkpoint: CheckpointSection = CheckpointSection()
    training: TrainingSection = TrainingSection()
    hardware: HardwareSection = HardwareSection()
    log: tuple[Logger, ...] = ("csv",)

    @model_validator(mode="after")
    def _check_label_column(self) -> "Recipe[DataT, ModelT]":
        # Read as false, it would stand for the column that the card names.
        if (column := getattr(self.data, "label_column", None)) in ("", ()):
            got = list(column) if column == () else column
            raise ValueError(
                f"data.label_column must name a column, got {got!r}. Leave it out for "
                "that of the card."
            )
        return self

    @model_validator(mode="after")
    def _check(self) -> "Recipe[DataT, ModelT]":
        replicas = self.hardware.replicas
        total, each = self.batch.global_samples, self.batch.per_device_samples
        if total % replicas:
            raise ValueError(
                "batch.global_samples must be divisible by hardware.nodes * "
                f"hardware.devices = {replicas}, got {total}. {_nearest(total, replicas)}"
            )
        if each is not None and total % (replicas * each):
            raise ValueError(
                f"batch.global_samples must be divisible by {replicas} devices * "
                f"batch.per_device_samples = {replicas * each}, got {total}. "
                f"{_nearest(total, replicas * each)}"
            )
        return self

    @property
    def per_device_samples(self) -> int:
        """Samples per device and micro-batch."""
        per_device = self.batch.per_device_samples
        return per_device or self.batch.global_samples // self.hardware.replicas

    @property
    def accumulation(self) -> int:
        """Micro-batches per device and optimizer step (gradient accumulation)."""
        micro_batch = self.hardware.replicas * self.per_device_samples
        return self.batch.global_samples // micro_batch

    @property
    def peak_lr(self) -> float:
        """The learning rate after the warmup, scaled where lr_per_256_samples is set."""
        per_256 = self.optimizer.lr_per_256_samples
        return self.optimizer.lr or (per_256 or 0.0) * self.batch.global_samples / 256


def _nearest(total: int, unit: int) -> str:
    return f"Nearest: {max(unit, round(total / unit) * unit)}."


AnyRecipe = Recipe[Any, Any]


def recipe_document(recipe: AnyRecipe) -> dict[str, Any]:
    """The recipe with all defaults, as a mapping that `parse_recipe` reads back."""
    return recipe.model_dump(mode="json")
