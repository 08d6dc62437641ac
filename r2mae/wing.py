"""What a modality gives to the engine, from recipe sections to exports: one object, its `Wing`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from r2mae.data.card import load_card, locate
from r2mae.errors import InputError
from r2mae.evaluation.read_out import ReadOut
from r2mae.interop.exports import TENSOR_EXPORTS, Export
from r2mae.wing_commands import Build, Store, Subcommand, Task

if TYPE_CHECKING:  # recipes are validated without importing torch
    import numpy as np
    import numpy.typing as npt
    from torch import nn

    from r2mae.data.source import SampleSource
    from r2mae.interop.inference import Inference
    from r2mae.loaded_run import LoadedRun
    from r2mae.schema.finetune import FinetuneRecipe
    from r2mae.schema.pretrain import PretrainRecipe
    from r2mae.schema.recipe import AnyRecipe
    from r2mae.training.order0 import NaiveLoss

    Features = npt.NDArray[np.float32]

# DATA as given, output, features (N, D), the source and its rows (N)
WriteFeatures = Callable[[str, Path, Any, Any, list[int]], None]


class Wing(ABC):
    """One modality. Abstract methods are what training needs; everything else has a default.

    name: the `modality` of its recipes.
    pretrain_recipe, finetune_recipe: the sections that its recipes may have.
    baseline_name: name of the features of `Encoder.baseline`, with which probes compare the encoder.
    tasks, subcommands, exports, builds, stores: what this modality adds to the commands of that kind, by name.
        `export_targets` adds ONNX and torch.export to the exports.
    feature_formats: file suffix -> a writer of `embed` features, beside .npy and .parquet.
    object_options: keywords of `LoadedRun.embed` that `open_objects` takes, which say how objects are read.
    demo: shown by `r2mae demo` after training; None probes the encoder's features with few and with all labels.
    demo_read_out: features that these probes read.
    """

    name: ClassVar[str]
    pretrain_recipe: ClassVar[type[PretrainRecipe[Any, Any]]]
    finetune_recipe: ClassVar[type[FinetuneRecipe[Any, Any]]]
    baseline_name: ClassVar[str] = "raw input"
    tasks: ClassVar[Mapping[str, Task]] = {}
    subcommands: ClassVar[Mapping[str, Subcommand]] = {}
    exports: ClassVar[Mapping[str, Export]] = {}
    builds: ClassVar[Mapping[str, Build]] = {}
    stores: ClassVar[Mapping[str, Store]] = {}
    feature_formats: ClassVar[Mapping[str, WriteFeatures]] = {}
    object_options: ClassVar[tuple[str, ...]] = ()
    demo: ClassVar[Task | None] = None
    demo_read_out: ClassVar[ReadOut] = ReadOut()

    # --- data

    @abstractmethod
    def open_split(self, recipe: AnyRecipe, split: str) -> SampleSource:
        """All samples of a split, "train" or "test".

        Raises: InputError when the data is missing or damaged.
        """

    def draws_test_split(self, recipe: AnyRecipe) -> bool:
        """Whether the test split is drawn from the training data; else it has files of its own."""
        return True

    def open_paths(
        self, recipe: AnyRecipe, paths: list[str], arguments: Namespace
    ) -> SampleSource:
        """Samples of files that a user names, read like the recipe's own data.

        arguments: the options that `add_path_arguments` declares.
        """
        raise InputError(
            f"DATA must be train or test for runs on {self.name}, got {paths[0]!r}."
        )

    def open_objects(self, recipe: AnyRecipe, objects: Any) -> SampleSource:
        """Samples of objects in memory, for `LoadedRun.embed`; without labels or augmentation.

        Raises: InputError for objects that are not of this modality.
        """
        raise InputError(
            f"objects must not be given to a run on {self.name}, which reads files only, "
            f"got {type(objects).__name__}. Run: r2mae embed RUN FILE."
        )

    def add_path_arguments(self, parser: ArgumentParser) -> None:
        """Options of `embed` and `predict` that say how files are read."""

    def is_data_here(self, recipe: AnyRecipe) -> bool:
        """Whether the recipe's data can be read without a download."""
        if not hasattr(recipe.data, "card"):
            return True
        card = load_card(recipe.data.card)
        return card.embedded is not None or locate(card, recipe.data.root) is not None

    def describe_data(self, recipe: AnyRecipe) -> dict[str, str]:
        """Further lines of `check` on data on this machine, {title: text}."""
        return {}

    def expected_samples(self, recipe: AnyRecipe, listed: int) -> int:
        """Training samples of data that is not on this machine, from the number that its card lists."""
        return listed

    def stand_in(self, recipe: AnyRecipe, folder: Path) -> list[str]:
        """Write random samples, so that a recipe whose data is missing can be rehearsed.

        Shapes are those of the recipe: image size, tokens of a row, vocabulary, genes, species. At least two
        micro-batches of a device train; some samples are held out. The folder is empty.

        Returns: the `--set` arguments that let the recipe read the samples.
        Raises: InputError for a modality without stand-in data.
        """
        raise InputError(
            f"data of modality {self.name} must be on this machine to be rehearsed, "
            "got none. Get the data first."
        )

    # --- models

    @abstractmethod
    def build_masked(self, recipe: AnyRecipe) -> nn.Module:
        """The `MaskedModel` of a pretraining recipe, initialised from torch's global generator."""

    @abstractmethod
    def build_encoder(self, recipe: AnyRecipe) -> nn.Module:
        """The `Encoder` of a fine-tuning recipe."""

    def build_model(
        self, recipe: AnyRecipe, num_classes: int | None = None
    ) -> nn.Module:
        """The recipe's model with initial weights that depend on its seed alone.

        num_classes: of a fine-tuning recipe's `Classifier`; not needed for pretraining recipes.
        """
        import torch

        from r2mae.masking.rng import RandomStream, host_bits
        from r2mae.models.tuning import build_classifier

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(host_bits(recipe.seed, RandomStream.WEIGHTS) >> 1)
            if recipe.task == "pretrain":
                return self.build_masked(recipe)
            assert num_classes is not None
            tune = recipe.tune  # type: ignore[attr-defined]
            return build_classifier(self.build_encoder(recipe), num_classes, tune)

    def checkpoint_facts(self, recipe: AnyRecipe) -> dict[str, Any]:
        """JSON that a checkpoint stores so that it can be used without the data, such as a vocabulary."""
        return {}

    def with_checkpoint_facts(
        self, recipe: AnyRecipe, manifest: dict[str, Any]
    ) -> AnyRecipe:
        """The recipe of a checkpoint with its facts filled in."""
        return recipe

    # --- evaluation

    def naive_loss(
        self, recipe: AnyRecipe, train: SampleSource, held_out: SampleSource
    ) -> NaiveLoss | None:
        """Held-out loss of a prediction from visible input without a model, such as a table counted in train.

        A pretraining run with no lower loss at its end has learned nothing. None: only token frequencies are compared.
        """
        return None

    def check_same_input(self, loaded: LoadedRun, recipe: AnyRecipe) -> None:
        """Raise InputError unless a run's encoder can read the samples of another recipe."""

    def baseline_features(
        self, train: Features, test: Features
    ) -> tuple[Features, Features]:
        """`baseline` features (N, F) of both splits as probes use them, after PCA for example.

        test: NaN where a value is hidden, replaced by its conditional mean under probabilistic PCA of train.
        """
        from r2mae.evaluation.conditional_mean import impute_hidden

        return train, impute_hidden(train, test)

    def draw_samples(self, loaded: LoadedRun) -> str:
        """HTML about held-out samples for `r2mae report`, such as reconstructions.

        It needs no file or network beside it. "" for a run without pictures.
        Raises: InputError where the data is missing; the report says so.
        """
        return ""

    # --- features and exports

    @property
    def export_targets(self) -> dict[str, Export]:
        """All that `r2mae export --to` takes, by name."""
        return {**self.exports, **TENSOR_EXPORTS}

    def auto_classes(self) -> list[Any]:
        """Model classes of transformers for the own architectures of its exports.

        Each has its configuration's class, and the Auto class that loads it, as
        `register_for_auto_class` sets it. `r2mae.register_with_transformers` registers them.
        """
        return []

    def inference(self, loaded: LoadedRun) -> Inference:
        """The run's features as a function of plain tensors, for ONNX and torch.export.

        By default for encoders with a method `example`, whose batches hold tensors alone.
        Raises: InputError for any other encoder.
        """
        from r2mae.interop.inference import example_inference

        return example_inference(loaded.model)

    def describe_match(self, source: SampleSource) -> dict[str, Any]:
        """How well a file that a user named fits the run, for `embed` and `predict`.

        Empty where nothing can be missing. "text", if present, is printed.
        """
        return {}
