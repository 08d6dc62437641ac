"""The fine-tuning recipe: a pretrained encoder with a head, trained on labels."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from r2mae.schema.recipe import MAX_SEED, DataT, ModelT, Recipe
from r2mae.schema.section import Section
from r2mae.schema.target import TargetChoice, without_old_keys


class LoraSection(Section):
    """`tune.lora`: low-rank adaptation of all linear layers in the encoder's blocks.

    rank: of each layer's change of weights.
    alpha: the change is scaled by alpha / rank.
    dropout: probability of dropout before it, in [0, 1).
    """

    rank: int = Field(default=8, ge=1, le=1 << 12)
    alpha: float = Field(default=16.0, gt=0, le=1e6)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class TuneSection(Section):
    """`tune`: what the labels are and what is trained, head and layer-wise learning rates.

    target: "classes"; "ordinal" for classes with an order, whole numbers unless
        {ordinal: {order: [...]}} lists them from the lowest; "multi_label" for any number
        of labels of a sample: a class named "a;b" or "a|b" is the labels a and b, and ";"
        alone is none; "regression" for numbers. Of texts alone: "token_tags" for a tag of
        every word, such as B-PER or O; "answer_span" for the span of a context that
        answers a question.
    freeze: train the head alone and keep the encoder's weights.
    lora: train the head and LoRA matrices beside the encoder's weights, through peft.
        `export`, `predict` and `embed` use the merged weights.
    last_layers: train the head, the last blocks of the encoder, as many as this, and the
        norm after them. Set at most one of freeze, lora, last_layers.
    hidden: width of a hidden layer in the head; null for a linear head, or for the
        architecture's own one.
    dropout: probability of dropout in the head, in [0, 1).
    layer_decay: layer-wise learning-rate decay. An encoder layer's learning rate is
        multiplied by this to the power of its distance from the head; 1 for none.
    label_smoothing: share of the target spread over all classes, in [0, 1).
    class_weights: weights of classes in the loss. "balanced" is inverse class frequency,
        with a mean of 1 over samples. A mapping sets classes by name, others have 1.
    num_classes: expected number of classes, checked against the training labels; null
        for no check.
    """

    target: TargetChoice = Field(default="classes", validate_default=True)
    freeze: bool = False
    lora: LoraSection | None = None
    last_layers: int | None = Field(default=None, ge=1, le=1 << 12)
    hidden: int | None = Field(default=None, ge=1, le=1 << 16)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    class_weights: Literal["balanced"] | dict[str, float] | None = None
    num_classes: int | None = Field(default=None, ge=2, le=1 << 20)

    _without_old_keys = model_validator(mode="before")(without_old_keys)

    @field_validator("class_weights", mode="after")
    @classmethod
    def _check(
        cls, weights: str | dict[str, float] | None
    ) -> str | dict[str, float] | None:
        if isinstance(weights, dict) and not all(
            weight > 0 for weight in weights.values()
        ):
            raise ValueError(f"must be greater than 0 each, got {weights}.")
        return weights

    @model_validator(mode="after")
    def _check_choices(self) -> "TuneSection":
        names = ("freeze", "lora", "last_layers")
        named = [name for name in names if getattr(self, name) not in (None, False)]
        if len(named) > 1:
            raise ValueError(
                f"must set at most one of {', '.join(names)}, "
                f"got {' and '.join(named)}. Leave one out."
            )
        return self

    @model_validator(mode="after")
    def _check_labels(self) -> "TuneSection":
        target, refused = self.target, []
        if not target.one_class:
            refused = ["class_weights", "label_smoothing"]
        if not target.has_classes:
            refused.append("num_classes")
        if got := [name for name in refused if getattr(self, name)]:
            raise ValueError(
                f"must not have {got[0]} with target {target}. Leave one out."
            )
        return self


class RepeatSection(Section):
    """`repeat`: the runs of one command, one for each seed and number of labels.

    seeds: number of seeds, counted up from the recipe's seed.
    labels_per_class: numbers of labelled training samples per class; "all" for all.
    metrics: scores that a table of several recipes shows; by default, the target's usual
        one.
    """

    seeds: int = Field(default=1, ge=1, le=1000)
    labels_per_class: tuple[int | Literal["all"], ...] = Field(
        default=("all",), min_length=1, max_length=32
    )

    metrics: tuple[str, ...] = Field(default=(), max_length=8)

    @field_validator("labels_per_class", mode="after")
    @classmethod
    def _check(
        cls, counts: tuple[int | Literal["all"], ...]
    ) -> tuple[int | Literal["all"], ...]:
        if any(count != "all" and count < 1 for count in counts):
            raise ValueError(
                f"must be whole numbers from 1, or all, got {list(counts)}."
            )
        if len(set(counts)) < len(counts):
            raise ValueError(f"must differ from each other, got {list(counts)}.")
        return counts


class FinetuneRecipe(Recipe[DataT, ModelT]):
    """A fine-tuning recipe: one run for each seed and number of labels.

    tune, repeat: see their sections. Other keys as in `Recipe`.
    """

    task: Literal["finetune"]
    tune: TuneSection = TuneSection()
    repeat: RepeatSection = RepeatSection()

    @property
    def metrics(self) -> tuple[str, ...]:
        """Scores that a table of several recipes shows."""
        return self.repeat.metrics or self.tune.target.scores[:1]

    @property
    def tested_splits(self) -> tuple[str, ...]:
        """Splits that finished runs are tested on, "test" first."""
        return ("test", *getattr(self.data, "more_tests", ()))

    @model_validator(mode="after")
    def _check_runs(self) -> "FinetuneRecipe[DataT, ModelT]":
        counts, target = self.repeat.labels_per_class, self.tune.target
        if counts != ("all",) and not target.one_class:
            raise ValueError(
                f"repeat.labels_per_class must be [all] with tune.target {target}, where "
                f"a sample has not one class, got {list(counts)}."
            )
        for name in self.repeat.metrics:
            if name not in target.scores:
                raise ValueError(
                    f"repeat.metrics must be of {', '.join(target.scores)}, got {name!r}."
                )
        columns = getattr(self.data, "label_column", None)
        if isinstance(columns, tuple) and target.name != "multi_label":
            raise ValueError(
                f"data.label_column must be one column with tune.target {target}, got "
                f"{list(columns)}. Set tune.target: multi_label for columns of 0 and 1."
            )
        if isinstance(columns, tuple):
            _check_label_columns(columns)
        if self.seed + self.repeat.seeds - 1 > MAX_SEED:
            raise ValueError(
                f"repeat.seeds must end at {MAX_SEED}, "
                f"got {self.repeat.seeds} from {self.seed}."
            )
        # A data section without augmentation mixes no samples.
        augment = getattr(self.data, "augment", None)
        if augment is not None and augment.mixes and self.per_device_samples % 2:
            raise ValueError(
                "batch.per_device_samples must be even where mixup or cutmix pairs "
                f"neighbours, got {self.per_device_samples}. "
                f"Use {self.per_device_samples + 1}, or set both to 0."
            )
        return self


def _check_label_columns(columns: tuple[str, ...]) -> None:
    """Raise ValueError for columns that are no labels, or the same one."""
    if len(set(columns)) < len(columns):
        raise ValueError(
            f"data.label_column must name each column once, got {list(columns)}."
        )
    for column in columns:
        if ";" in column or "|" in column:
            raise ValueError(
                "data.label_column must name columns without ; and |, which separate labels, "
                f"got {column!r}. Rename the column."
            )
