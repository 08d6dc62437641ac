"""A study file as trials: one recipe for each law, variant and seed."""

import itertools
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from r2mae.errors import InputError
from r2mae.modalities import find_wing
from r2mae.recipe.load import parse_recipe
from r2mae.recipe.plan import MOST_SAMPLES
from r2mae.recipe.shipped import find_recipe, find_study
from r2mae.recipe.targets import check_table
from r2mae.schema.describe_law import describe_law
from r2mae.schema.document import apply_overrides, load_document, set_keys
from r2mae.schema.finetune import FinetuneRecipe
from r2mae.schema.pretrain import PretrainRecipe
from r2mae.schema.recipe import recipe_document
from r2mae.schema.section import shown, validate
from r2mae.schema.study import StudySection
from r2mae.studies.budget import planned_steps, steps_at_equal_flops
from r2mae.studies.finetuned import finetuning_recipe
from r2mae.studies.measure import check_labels, check_tasks
from r2mae.studies.measurement import measurement_names
from r2mae.studies.stored import as_file_name, check_same_names, store_study

Recipe = PretrainRecipe[Any, Any]


@dataclass(frozen=True)
class Trial:
    """One run of a study.

    variant: values of the further axes, by key; the same for all laws that are compared.
    """

    law: str
    variant: tuple[tuple[str, Any], ...]
    seed: int
    recipe: Recipe

    @property
    def name(self) -> str:
        """Name of the run folder."""
        axes = [f"{key.rpartition('.')[2]}-{value}" for key, value in self.variant]
        return "_".join(map(as_file_name, [self.law, *axes, f"seed-{self.seed}"]))

    @property
    def law_in_words(self) -> str:
        """The law, with what it takes from the recipe's `mask`."""
        return describe_law(recipe_document(self.recipe)["mask"])


@dataclass(frozen=True)
class Study:
    """A validated study.

    folder: of trials and reports.
    base: document of the common recipe.
    finetuning: document of the recipe of `measure.finetune`, if there is one.
    """

    name: str
    section: StudySection
    folder: Path
    base: dict[str, Any]
    finetuning: dict[str, Any] | None = None

    @property
    def trials_folder(self) -> Path:
        """Where run folders are."""
        return self.folder / "trials"

    def path(self, trial: Trial) -> Path:
        """Run folder of a trial."""
        return self.trials_folder / trial.name

    @property
    def variants(self) -> list[tuple[tuple[str, Any], ...]]:
        """All combinations of the further axes; a single empty one without axes."""
        axes = self.section.vary
        combinations = itertools.product(*axes.values())
        return [tuple(zip(axes, values, strict=True)) for values in combinations]

    @cached_property
    def measurement_names(self) -> set[str]:
        """Names of the measurements of each trial."""
        return measurement_names(self.section.measure)

    @cached_property
    def trials(self) -> list[Trial]:
        """Trials by seed first, so that all laws have as many seeds at any time.

        Raises: InputError for laws or axes that the recipe refuses, before anything trains.
        """
        recipes = {
            (law, variant): self._recipe(law, variant)
            for variant in self.variants
            for law in self.section.laws
        }
        return [
            Trial(law, variant, seed, recipe.model_copy(update={"seed": seed}))
            for seed in range(self.section.seeds)
            for (law, variant), recipe in recipes.items()
        ]

    @property
    def distinct_trials(self) -> list[Trial]:
        """A trial of each law and variant; those of other seeds differ in the seed alone."""
        return self.trials[: len(self.variants) * len(self.section.laws)]

    def _recipe(self, law: str, variant: tuple[tuple[str, Any], ...]) -> Recipe:
        where = f"{self.name}: law {law!r}"
        document = set_keys(self.base, dict(variant), where)
        document["mask"] = document["mask"] | self.section.laws[law]
        recipe: Any = parse_recipe(document, where)
        if self.section.budget == "equal_flops":
            own_law: Any = parse_recipe(
                set_keys(self.base, dict(variant), where), where
            )
            recipe = steps_at_equal_flops(recipe, own_law)
        return recipe  # type: ignore[no-any-return]

    def finetuning_of(
        self, trial: Trial, start: Path | None
    ) -> FinetuneRecipe[Any, Any] | None:
        """The recipe that fine-tunes a trial, if the study has one.

        start: its run folder; None before it exists.
        """
        measure = self.section.measure.finetune
        if self.finetuning is None or measure is None:
            return None
        return finetuning_recipe(self.finetuning, measure, trial.recipe, start)

    def check_data(self) -> None:
        """Raise InputError for what does not fit the data: schedules, and numbers of labels."""
        for trial in self.distinct_trials:
            if trial.law == next(iter(self.section.laws)):  # laws have one schedule
                planned_steps(trial.recipe)
        trial = self.trials[0]
        wing = find_wing(trial.recipe.modality)
        check_labels(self.section.measure, wing, trial.recipe)
        finetuning = self.finetuning_of(trial, None)
        if finetuning is not None:
            check_table(finetuning)

    @property
    def _document(self) -> dict[str, Any]:
        document = self.section.model_dump(mode="json")
        return document | {"base": self.base, "finetuning": self.finetuning}

    def check_names(self) -> None:
        """Raise InputError where its folder has another law or measurement under the same name."""
        check_same_names(self.folder, self._document)

    def start(self) -> None:
        """Make the folder, or check that it holds this study.

        Raises: InputError where it holds another one.
        """
        store_study(self.folder, self._document)
        self.trials_folder.mkdir(parents=True, exist_ok=True)


def load_study(
    path: str,
    overrides: list[str] | None = None,
    seeds: int | None = None,
    name: str | None = None,
) -> Study:
    """Read a study file, or one that r2mae ships by its name.

    overrides: `--set` arguments, keys of the common recipe.
    seeds, name: in place of the file's, and of the file's name.

    Raises: InputError with the first mistake as one line.
    """
    file = find_study(path)
    section = validate(StudySection, load_document(file), str(path))
    if seeds is not None:
        document = section.model_dump(mode="json") | {"seeds": seeds}
        section = validate(StudySection, document, "--seeds")
    base = _document_beside(file, section.recipe)
    base = apply_overrides(set_keys(base, section.set, str(path)), overrides or [])
    base = _measured(base, section, str(path))
    _check_axes(section.vary, str(path))
    finetune = section.measure.finetune
    finetuning = None
    if finetune is not None:
        finetuning = _document_beside(file, finetune.recipe)
    folder = Path("studies") / (name or file.stem)
    study = Study(file.stem, section, folder, base, finetuning)
    _check_different(study)
    for trial in study.trials:  # of every variant
        _check_one_device(trial.recipe, file.stem, "--set")
        tuned = study.finetuning_of(trial, None)
        if tuned is not None:
            _check_one_device(tuned, "measure.finetune.recipe", "measure.finetune.set:")
    wing = find_wing(base["modality"])
    for trial in study.distinct_trials:
        check_tasks(section.measure, wing, trial.recipe)
    return study


def _document_beside(file: Path, recipe: str) -> dict[str, Any]:
    """A recipe that a study file names; a relative path may start at the study file."""
    beside = file.parent / recipe
    return load_document(beside if beside.is_file() else find_recipe(recipe))


def _measured(
    base: dict[str, Any], section: StudySection, where: str
) -> dict[str, Any]:
    """The recipe with the study's held-out ratios, measured once, at the end.

    On as many samples for all laws: `make_plan` would choose them by the cost of a step.
    """
    recipe = parse_recipe(base, where)
    if recipe.task != "pretrain":
        raise InputError(f"{where}: recipe must pretrain, got {recipe.task}.")
    resolved = recipe_document(recipe)
    only_loss = dict.fromkeys(
        ("knn", "linear_probe", "effective_rank", "pictures"), False
    )
    once = {"every_steps": 1 << 39, "ratios": list(section.measure.ratios)}
    once["samples"] = recipe.watch.samples or MOST_SAMPLES
    resolved["watch"] = resolved["watch"] | only_loss | once
    resolved["checkpoint"] = resolved["checkpoint"] | {"every_steps": None}
    resolved["log"] = ["csv"]
    return resolved


def _check_one_device(recipe: Any, where: str, remedy: str) -> None:
    """Raise InputError for a trial on several devices: its ranks would be further workers."""
    hardware = recipe.hardware
    for key, count in (("nodes", hardware.nodes), ("devices", hardware.devices)):
        if count != 1:
            raise InputError(
                f"{where}: hardware.{key} must be 1 in a study, whose trials run side by "
                f"side, got {count}. Use {remedy} hardware.{key}=1, and --jobs or --slurm "
                "for more devices."
            )


def _check_axes(vary: dict[str, Any], where: str) -> None:
    """Raise InputError for axes that seeds and laws are for; the recipe checks the others."""
    remedies = {"seed": "Use seeds.", "mask": "Use laws."}
    for key, values in vary.items():
        if not values or any(values.count(value) > 1 for value in values):
            raise InputError(
                f"{where}: vary.{key} must list different values, got {list(values)}."
            )
        remedy = remedies.get(key.partition(".")[0])
        if remedy is not None:
            raise InputError(
                f"{where}: vary must name keys beside seed and mask, got {key}. {remedy}"
            )


def _check_different(study: Study) -> None:
    """Raise InputError where two laws, or the names of two trials, are the same."""
    masks: dict[str, str] = {}
    for trial in study.trials[: len(study.section.laws)]:
        mask = json.dumps(trial.recipe.mask.model_dump(mode="json"), sort_keys=True)
        if mask in masks:
            raise InputError(
                f"{study.name}: laws must differ, got {masks[mask]!r} and {trial.law!r} "
                "with the same mask. Delete one."
            )
        masks[mask] = trial.law
    laws: dict[str, list[str]] = {}
    for trial in study.trials:  # some file systems take `A` and `a` for the same folder
        laws.setdefault(trial.name.casefold(), []).append(trial.law)
    same = max(laws.values(), key=len)
    if len(same) > 1:
        raise InputError(
            f"{study.name}: names of laws and values of axes must differ in letters or "
            f"digits, case aside, got {len(same)} trials in the same folder, of "
            f"{shown(', '.join(dict.fromkeys(same)))}. Rename one."
        )
