"""`tune.target`: what the labels of a fine-tuning recipe are, and what follows from it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, field_validator

from r2mae.schema.section import Section, shown


@dataclass(frozen=True)
class Target:
    """One of `TARGETS`; what is done for it is in `r2mae.recipe.targets`.

    scores: of the test split; the first is the usual one.
    one_class: a sample has one class, so classes have weights and samples per class.
    has_classes: the head has an output for each class, label or tag of the training split.
    head: "sample", "ordered", "word" or "span", see `build_classifier`.
    auto_model: what follows AutoModelFor in transformers; None where it has no such head.
    problem_type: of transformers.
    hub_task: `pipeline_tag` of the Hugging Face hub, where it is not the wing's usual one.
    order: classes from the lowest, of ordinal; empty for whole numbers.
    """

    name: str
    scores: tuple[str, ...]
    one_class: bool = False
    has_classes: bool = True
    head: Literal["sample", "ordered", "word", "span"] = "sample"
    auto_model: str | None = "SequenceClassification"
    problem_type: str | None = None
    hub_task: str | None = None
    order: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


_TARGETS = (
    Target(
        "classes",
        ("accuracy", "balanced_accuracy", "macro_f1", "matthews", "f1"),
        one_class=True,
        problem_type="single_label_classification",
    ),
    Target(
        "ordinal",
        ("accuracy", "absolute_error", "quadratic_kappa"),
        one_class=True,
        head="ordered",
        auto_model=None,
    ),
    Target(
        "multi_label",
        ("micro_f1", "macro_f1", "average_precision"),
        problem_type="multi_label_classification",
    ),
    Target(
        "regression",
        ("pearson", "spearman", "squared_error"),
        has_classes=False,
        problem_type="regression",
    ),
    Target(
        "token_tags",
        ("f1", "precision", "recall", "token_accuracy"),
        head="word",
        auto_model="TokenClassification",
        hub_task="token-classification",
    ),
    Target(
        "answer_span",
        ("f1", "exact_match"),
        has_classes=False,
        head="span",
        auto_model="QuestionAnswering",
        hub_task="question-answering",
    ),
)
TARGETS = {target.name: target for target in _TARGETS}


class _Order(Section):
    order: tuple[str, ...]

    @field_validator("order", mode="before")
    @classmethod
    def _name_numbers(cls, order: Any) -> Any:
        """Classes that are whole numbers may be listed as such."""
        if not isinstance(order, list | tuple):
            return order
        return tuple(str(name) if type(name) is int else name for name in order)

    @field_validator("order", mode="after")
    @classmethod
    def _check(cls, order: tuple[str, ...]) -> tuple[str, ...]:
        if not 2 <= len(set(order)) == len(order):
            raise ValueError(
                f"must list at least 2 different classes, got {list(order)}."
            )
        return order


class _Ordinal(Section):
    ordinal: _Order


def _build(value: Any) -> Target:
    if isinstance(value, _Ordinal):
        return replace(TARGETS["ordinal"], order=value.ordinal.order)
    return TARGETS[value]


def _check_options(value: Any) -> Any:
    """Raise ValueError for options of a target that has none."""
    if isinstance(value, Mapping) and (names := TARGETS.keys() & value.keys()):
        for name in sorted(names - {"ordinal"}):
            raise ValueError(
                f"must be {name} alone, which has no options, got {shown(value)}."
            )
    return value


def _written(target: Target) -> Any:
    """As a recipe has it."""
    return {target.name: {"order": target.order}} if target.order else target.name


# A name, or a mapping from the name to options where the target has some.
if TYPE_CHECKING:
    TargetChoice = Target
else:
    _Choice = Literal[tuple(TARGETS)] | _Ordinal
    TargetChoice = Annotated[
        _Choice,
        AfterValidator(_build),
        BeforeValidator(_check_options),
        PlainSerializer(_written),
    ]


def without_old_keys(tune: Any) -> Any:
    """A `tune` section without the keys that were targets before `tune.target` was.

    Only false is left out, which runs of classes from then have in their files.

    Raises: ValueError for another value, with what to write now.
    """
    old = TARGETS.keys() - {"classes"}
    if not isinstance(tune, Mapping) or not old & tune.keys():
        return tune
    for name in sorted(old & tune.keys()):
        if (value := tune[name]) is not False:
            order = f"{{ordinal: {{order: {shown(value)}}}}}"
            now = order if isinstance(value, list | tuple) else name
            raise ValueError(
                f"{name} is now tune.target: {now}. Write that in the recipe; runs "
                "that have the old key must be trained again."
            )
    return {name: value for name, value in tune.items() if name not in old}
