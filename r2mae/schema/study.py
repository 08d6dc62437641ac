"""The study file: mask-ratio laws to compare, measurements and seeds."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from r2mae.schema.section import Section

Probe = Literal["knn", "linear_probe", "attentive_probe"]
Budget = Literal["equal_steps", "equal_samples", "equal_flops"]


class TaskMeasure(Section):
    """A number in the result of `r2mae evaluate RUN --task TASK --json`.

    value: where it is, keys separated by dots.
    better: which direction is better.
    options: options of the task by name, without dashes at the start: `folds: 5`.
    """

    task: str
    value: str
    better: Literal["higher", "lower"] = "higher"
    options: dict[str, str | int | float | bool] = Field(default={})

    @model_validator(mode="after")
    def _check(self) -> "TaskMeasure":
        if not all(self.value.split(".")):
            raise ValueError(
                f"value must be keys separated by dots, got {self.value!r}. "
                "Name a number in the JSON of the task: rows.0.accuracy, say."
            )
        return self


LabelCounts = tuple[Annotated[int, Field(ge=1)] | Literal["all"], ...]


class FinetuneMeasure(Section):
    """Fine-tuning of every run's encoder; measured is the accuracy on the test split.

    recipe: the fine-tuning recipe, a file or a shipped name. Its encoder, start and seed are
        those of the run, and so is the place of its data if both have the same card.
    set: keys of that recipe to change.
    labels_per_class: a fine-tuning run for each; "all" uses every label.
    """

    recipe: str
    set: dict[str, Any] = Field(default={})
    labels_per_class: LabelCounts = Field(default=("all",), min_length=1)


class MeasureSection(Section):
    """`measure`: what is measured of every run.

    ratios: mask ratios of the held-out loss. A law that is fixed at one of them is the
        specialist of that ratio.
    probes: classifiers on frozen features, or with attentive_probe on frozen tokens,
        trained on the training split and scored on the test split.
    labels_per_class: of the probes' training; "all" uses every label.
    draws: random choices of the labels, where they are few.
    hidden: shares of each test sample that are hidden from the encoder in the probes.
    hide_in_training: score partly hidden test samples also by probes that are trained on
        copies of the training samples with as large a share hidden, beside complete ones.
    tasks: numbers from `r2mae evaluate`, by a name for each.
    finetune: fine-tuning, which probes of frozen features do not replace.
    """

    ratios: tuple[float, ...] = Field(default=(0.1, 0.25, 0.5, 0.75, 0.9), min_length=1)
    probes: tuple[Probe, ...] = ("knn", "linear_probe")
    labels_per_class: LabelCounts = Field(default=("all",), min_length=1)
    draws: int = Field(default=10, ge=1, le=1000)
    hidden: tuple[float, ...] = Field(default=(0.0,), min_length=1)
    hide_in_training: bool = False
    tasks: dict[str, TaskMeasure] = Field(default={})
    finetune: FinetuneMeasure | None = None

    @model_validator(mode="after")
    def _check(self) -> "MeasureSection":
        if not all(0 < ratio < 1 for ratio in self.ratios):
            raise ValueError(
                f"ratios must be in (0, 1), got {list(self.ratios)}. "
                "Ratios are fractions."
            )
        if not all(0 <= share < 1 for share in self.hidden):
            raise ValueError(
                f"hidden must be in [0, 1), got {list(self.hidden)}. "
                "It is the share of a sample."
            )
        if any(self.hidden) and not self.probes:
            raise ValueError(
                f"hidden must come with probes, got {list(self.hidden)} and no probes. "
                "Add knn to probes, say."
            )
        shares = [f"{100 * share:g}%" for share in self.hidden]
        if len(set(shares)) < len(shares):
            raise ValueError(
                f"hidden must list different shares, got {', '.join(shares)}. Delete one."
            )
        if self.hide_in_training and not any(self.hidden):
            raise ValueError(
                "hide_in_training must come with a share of hidden above 0, got "
                f"{list(self.hidden)}. Add 0.5 to hidden, say."
            )
        return self


class StudySection(Section):
    """One study file.

    recipe: the pretraining recipe that every run has in common, a file or a shipped name.
    set: keys of that recipe to change for all runs, `schedule.steps: 400`.
    laws: keys of `mask` by the name of a law, over those of the recipe.
    primary: the law that the study is about, chosen beforehand; the report opens with its
        gain over fixed ratios.
    vary: further axes: a key of the recipe and its values. All combinations are run.
    seeds: runs of each law, with seeds 0, 1, ...; runs of one seed have the same initial
        weights and the same order of samples.
    budget: what is equal for all laws. With equal_flops, laws that hide more tokens train
        for more steps, up to the FLOPs of the recipe under its own law.
    measure: what is measured of every run.
    """

    recipe: str
    set: dict[str, Any] = Field(default={})
    laws: dict[str, dict[str, Any]] = Field(min_length=2, max_length=64)
    primary: str | None = None
    vary: dict[str, tuple[Any, ...]] = Field(default={})
    seeds: int = Field(default=5, ge=1, le=100)
    budget: Budget = "equal_steps"
    measure: MeasureSection = MeasureSection()

    @model_validator(mode="after")
    def _check(self) -> "StudySection":
        if self.primary is not None and self.primary not in self.laws:
            raise ValueError(
                f"primary must be one of the laws, {', '.join(self.laws)}, got "
                f"{self.primary!r}."
            )
        return self
