"""The fine-tuning recipe: a pretrained encoder with a head, trained on labels."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from r2mae.schema.recipe import MAX_SEED, DataT, ModelT, Recipe
from r2mae.schema.section import Section

# `tune.target` -> scores of the test split; the first is the usual one.
METRICS: dict[str, tuple[str, ...]] = {
    "class": ("accuracy", "balanced_accuracy", "f1", "macro_f1", "matthews"),
    "ordinal": ("accuracy", "absolute_error", "quadratic_kappa"),
    "multi_label": ("micro_f1", "macro_f1", "average_precision"),
    "token_tags": ("f1", "precision", "recall", "token_accuracy"),
    "answer_span": ("f1", "exact_match"),
    "regression": ("pearson", "spearman", "squared_error"),
}


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
    """`tune`: what is trained, head, loss and layer-wise learning rates.

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
    regression: the labels are numbers to predict, not classes.
    multi_label: a sample has any number of labels: a class named "a;b" or "a|b" is the
        labels a and b, and ";" alone is none.
    ordinal: the classes have an order, in which this lists them from the lowest; true
        for classes that are whole numbers.
    token_tags: token classification: every word has a tag, such as B-PER or O. For texts
        alone.
    answer_span: extractive question answering: the answer is a span of a context. For
        texts alone. Set at most one of regression, multi_label, ordinal, token_tags and
        answer_span.
    """

    freeze: bool = False
    lora: LoraSection | None = None
    last_layers: int | None = Field(default=None, ge=1, le=1 << 12)
    hidden: int | None = Field(default=None, ge=1, le=1 << 16)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    class_weights: Literal["balanced"] | dict[str, float] | None = None
    num_classes: int | None = Field(default=None, ge=2, le=1 << 20)
    regression: bool = False
    multi_label: bool = False
    ordinal: bool | tuple[str, ...] = False
    token_tags: bool = False
    answer_span: bool = False

    @property
    def target(
        self,
    ) -> Literal[
        "class", "ordinal", "multi_label", "regression", "token_tags", "answer_span"
    ]:
        """What the labels are."""
        if self.token_tags:
            return "token_tags"
        if self.answer_span:
            return "answer_span"
        if self.regression:
            return "regression"
        if self.multi_label:
            return "multi_label"
        return "class" if self.ordinal is False else "ordinal"

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

    @field_validator("ordinal", mode="before")
    @classmethod
    def _name_numbers(cls, order: Any) -> Any:
        """Classes that are whole numbers may be listed as such."""
        if not isinstance(order, list | tuple):
            return order
        return tuple(str(name) if type(name) is int else name for name in order)

    @field_validator("ordinal", mode="after")
    @classmethod
    def _check_order(cls, order: bool | tuple[str, ...]) -> bool | tuple[str, ...]:
        if isinstance(order, tuple) and not 2 <= len(set(order)) == len(order):
            raise ValueError(
                f"must list at least 2 different classes, got {list(order)}."
            )
        return order

    @model_validator(mode="after")
    def _check_choices(self) -> "TuneSection":
        for names in (
            ("freeze", "lora", "last_layers"),
            ("regression", "multi_label", "ordinal", "token_tags", "answer_span"),
        ):
            named = [name for name in names if getattr(self, name) not in (None, False)]
            if len(named) > 1:
                raise ValueError(
                    f"must set at most one of {', '.join(names)}, "
                    f"got {' and '.join(named)}. Leave one out."
                )
        return self

    @model_validator(mode="after")
    def _check_labels(self) -> "TuneSection":
        refused = {
            "class_weights": self.class_weights is not None,
            "label_smoothing": self.label_smoothing > 0,
            "num_classes": self.num_classes is not None
            and self.target in ("regression", "answer_span"),
        }
        got = [name for name, is_set in refused.items() if is_set]
        if got and self.target not in ("class", "ordinal"):
            raise ValueError(
                f"must not have {got[0]} with {self.target}. Leave one out."
            )
        return self


class RepeatSection(Section):
    """`repeat`: the runs of one command, one for each seed and number of labels.

    seeds: number of seeds, counted up from the recipe's seed.
    labels_per_class: numbers of labelled training samples per class; "all" for all.
    metrics: scores that a table of several recipes shows; by default, the first of
        `METRICS`.
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
        return self.repeat.metrics or METRICS[self.tune.target][:1]

    @model_validator(mode="after")
    def _check_runs(self) -> "FinetuneRecipe[DataT, ModelT]":
        counts, tune = self.repeat.labels_per_class, self.tune
        if counts != ("all",) and tune.target not in ("class", "ordinal"):
            raise ValueError(
                f"repeat.labels_per_class must be [all] with tune.{tune.target}, where a "
                f"sample has not one class, got {list(counts)}."
            )
        for name in self.repeat.metrics:
            if name not in METRICS[tune.target]:
                raise ValueError(
                    f"repeat.metrics must be of {', '.join(METRICS[tune.target])}, "
                    f"got {name!r}."
                )
        columns = getattr(self.data, "label_column", None)
        if isinstance(columns, tuple) and not tune.multi_label:
            raise ValueError(
                "data.label_column must be one column without tune.multi_label, got "
                f"{list(columns)}. Set tune.multi_label: true for columns of 0 and 1."
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
