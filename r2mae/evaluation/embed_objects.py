"""Features of samples in memory: the methods of a loaded run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from r2mae.errors import InputError, did_you_mean
from r2mae.evaluation.read_out import Layer, ReadOut
from r2mae.models.pooling import Pool

if TYPE_CHECKING:  # without torch until a method is called
    import numpy as np
    import numpy.typing as npt
    import torch

    Features = npt.NDArray[np.float32]


class EmbedsObjects:
    """Methods of a `LoadedRun` that take samples in memory."""

    wing: Any
    recipe: Any
    model: Any

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = next(self.model.parameters()).device
        return device

    def _open(self, objects: Any, reading: dict[str, Any]) -> Any:
        """The `SampleSource` of samples in memory.

        Raises: InputError for an option that the run's modality does not have.
        """
        for name in reading.keys() - self.wing.object_options:
            remedy = did_you_mean(name, self.wing.object_options)
            raise InputError(
                f"options of a run on {self.wing.name} must be those of its modality or "
                f"of this method, got {name!r}. {remedy}"
            )
        return self.wing.open_objects(self.recipe, objects, **reading)

    def prepare(self, objects: Any, **reading: Any) -> dict[str, Any]:
        """The batch of samples in memory that `run.model` and `run.model.embed` take.

        Of images: {"images": (B, C, H, W) uint8, ...}, upright, cropped and resized.
        reading: as of `embed`.
        """
        from r2mae.evaluation.in_memory import load_samples

        return load_samples(self._open(objects, reading), self.device)

    def embed(
        self,
        objects: Any,
        *,
        batch_size: int = 256,
        layer: Layer = "last",
        pool: Pool | None = None,
        **reading: Any,
    ) -> Features:
        """(N, D) features of samples in memory, without masking, preprocessed like the run's files.

        objects: images (PIL, or uint8 arrays (H, W), (H, W, C) or (N, H, W, C)), a list of texts, a list of DNA
            sequences, or an AnnData of cells, whichever the run was trained on.
        layer: from 1, or from the end, -1. pool: mean, cls or concat; None: as the model pools tokens.
        reading: of an AnnData, matrix="layers[counts]", genes_by, sum_duplicates and round_counts, instead of the
            recipe's.

        Raises: InputError for objects that the run cannot read, or a layer or pooling that it does not have.
        """
        from r2mae.evaluation.in_memory import embed_samples
        from r2mae.evaluation.inference import inference
        from r2mae.evaluation.read_encoder import read_encoder

        source = self._open(objects, reading)
        encoder = read_encoder(self.model, ReadOut(layer, pool))
        with inference(self.recipe.hardware, workers=0):
            return embed_samples(encoder, source, batch_size)

    def embed_tokens(
        self,
        objects: Any,
        *,
        batch_size: int = 256,
        layer: Layer = "last",
        **reading: Any,
    ) -> list[Features]:
        """Tokens (T, K) of each sample in memory, float32; otherwise as `embed`."""
        from r2mae.evaluation.in_memory import embed_sample_tokens
        from r2mae.evaluation.inference import inference
        from r2mae.evaluation.read_encoder import read_encoder

        source = self._open(objects, reading)
        encoder = read_encoder(self.model, ReadOut(layer))
        with inference(self.recipe.hardware, workers=0):
            return embed_sample_tokens(encoder, source, batch_size)
