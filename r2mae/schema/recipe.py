"""What recipes of every task and modality share: sections, and what follows from them."""

from typing import Any, Generic, Literal, TypeVar

from pydantic import Field, model_validator

from r2mae.schema.section import Section, exactly_one

HUGE = 1 << 40
MAX_SEED = (1 << 31) - 1


class BatchSection(Section):
    """Samples an optimizer step takes in all, and samples one device takes at a time."""

    global_samples: int = Field(ge=1, le=1 << 24)
    per_device_samples: int | None = Field(default=None, ge=1, le=1 << 24)


class OptimizerSection(Section):
    """AdamW. Exactly one of lr and lr_per_256_samples; biases, norms and tokens are never decayed."""

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
    """How long to train (exactly one unit) and how the learning rate runs."""

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
    """Where to run. May differ when a run is continued; what is learnt does not depend on it."""

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    nodes: int = Field(default=1, ge=1, le=4096)
    devices: int = Field(default=1, ge=1, le=1024)
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    strategy: Literal["ddp"] = "ddp"
    compile: bool = False
    deterministic: bool = False
    workers: int = Field(default=0, ge=0, le=256)
    timeout_seconds: int = Field(
        default=1800, ge=10, le=86400
    )  # that ranks wait for one that does not answer


class WatchSection(Section):
    """Measurements on held-out samples, every `every_steps` steps and at the end."""

    every_steps: int | None = Field(default=None, ge=1, le=HUGE)
    samples: int = Field(default=1000, ge=8, le=1 << 20)


class TrainingSection(Section):
    """What a step does whose loss or gradient is not finite: its update is never made.

    on_nonfinite: "stop" ends training with the weights before the step, "skip" goes on with the next one until
        more than max_skipped_steps were skipped.
    """

    on_nonfinite: Literal["stop", "skip"] = "stop"
    max_skipped_steps: int = Field(default=10, ge=0, le=HUGE)


class CheckpointSection(Section):
    """How often the whole state is saved; the last two and the best are kept."""

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


class Recipe(Section, Generic[DataT, ModelT]):
    """One file, nothing inherited."""

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
    log: tuple[Literal["csv", "wandb"], ...] = ("csv",)

    @model_validator(mode="after")
    def _check(self) -> "Recipe[DataT, ModelT]":
        replicas = self.hardware.nodes * self.hardware.devices
        total, each = self.batch.global_samples, self.batch.per_device_samples
        if total % replicas:
            raise ValueError(
                f"batch.global_samples must be divisible by hardware.nodes * hardware.devices = {replicas}, "
                f"got {total}. {_nearest(total, replicas)}"
            )
        if each is not None and total % (replicas * each):
            raise ValueError(
                f"batch.global_samples must be divisible by {replicas} devices * batch.per_device_samples = "
                f"{replicas * each}, got {total}. {_nearest(total, replicas * each)}"
            )
        return self

    @property
    def per_device_samples(self) -> int:
        """Samples one device takes at a time."""
        replicas = self.hardware.nodes * self.hardware.devices
        return self.batch.per_device_samples or self.batch.global_samples // replicas

    @property
    def accumulation(self) -> int:
        """Micro-batches a device adds up before the optimizer steps."""
        replicas = self.hardware.nodes * self.hardware.devices
        return self.batch.global_samples // (replicas * self.per_device_samples)

    @property
    def peak_lr(self) -> float:
        """The learning rate after warm-up, scaled to the global batch where the recipe asks for it."""
        per_256 = self.optimizer.lr_per_256_samples
        return self.optimizer.lr or (per_256 or 0.0) * self.batch.global_samples / 256


def _nearest(total: int, unit: int) -> str:
    return f"Nearest: {max(unit, round(total / unit) * unit)}."


AnyRecipe = Recipe[Any, Any]


def recipe_document(recipe: AnyRecipe) -> dict[str, Any]:
    """The resolved recipe, defaults filled in, as a plain mapping that `parse_recipe` reads back."""
    return recipe.model_dump(mode="json")
