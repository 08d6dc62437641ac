"""A trained run, loaded from its folder: what `r2mae.load` returns, and what commands and tasks work on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from r2mae.evaluation.embed_objects import EmbedsObjects
from r2mae.evaluation.read_out import ReadOut

if TYPE_CHECKING:  # recipes are validated without importing torch
    from torch import nn

    from r2mae.data.source import SampleSource
    from r2mae.schema.recipe import AnyRecipe
    from r2mae.training.run_folder import RunFolder
    from r2mae.wing import Wing


@dataclass(frozen=True, repr=False)
class LoadedRun(EmbedsObjects):
    """A trained run, ready to be used.

    recipe: completed with the checkpoint's facts, such as a vocabulary, so that the data itself is not needed.
    manifest: content of the checkpoint's manifest.json.
    read_out: layer and pooling of the features that tasks of `evaluate` compare.
    """

    wing: Wing
    folder: RunFolder
    recipe: AnyRecipe
    manifest: dict[str, Any]
    model: nn.Module
    read_out: ReadOut = field(default_factory=ReadOut)

    def __repr__(self) -> str:
        """One line: a manifest may list thousands of genes."""
        parameters = sum(each.numel() for each in self.model.parameters())
        return (
            f"<run {self.folder.path}: {self.wing.name}, {self.recipe.task}, "
            f"step {self.manifest['step']:,}, {parameters:,} parameters>"
        )

    @property
    def num_classes(self) -> int | None:
        """Number of classes of a fine-tuned run; None for a pretraining run."""
        classes = self.manifest.get("classes")
        return None if classes is None else len(classes)

    def held_out(self, count: int) -> tuple[SampleSource, dict[str, Any]]:
        """(held-out samples of a pretraining run, a batch of the first `count`)."""
        import torch

        from r2mae.data.source import hold_out, load_plain

        train = self.wing.open_split(self.recipe, "train")
        _, held_out = hold_out(train, self.recipe.data.held_out)
        rows = torch.arange(min(count, len(held_out)))
        return held_out, load_plain(held_out, rows, self.device)
