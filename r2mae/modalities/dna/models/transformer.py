"""Transformers over DNA: a language model whose words are bases, and which sees other species where there are some.

Shapes: B windows, N bases, L tokens of a row with its border tokens, S species, T tokens in all, M hidden, D width.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor

from r2mae.errors import InputError
from r2mae.masking.pattern import Mask
from r2mae.modalities.dna.conservation import Conservation
from r2mae.modalities.dna.models.columns import (
    OTHER_LETTERS,
    Columns,
    baseline,
    over_strands,
    weighed,
)
from r2mae.modalities.dna.models.conv import weighed_loss
from r2mae.models.masked_language import (
    LanguageEncoder,
    MaskedLanguageModel,
    Vocabulary,
)
from r2mae.models.protocol import MaskedOutput
from r2mae.models.segments import Layout


class _OverBases(LanguageEncoder):
    """What encoder and masked model share. num_others: species beside the reference, 0 without an alignment."""

    def __init__(
        self, base: Any, vocabulary: Vocabulary, *, num_others: int = 0, **more: Any
    ) -> None:
        super().__init__(base, vocabulary, **more)
        self.columns = Columns(num_others, self.width) if num_others else None

    def enrich(self, hidden: Tensor, batch: dict[str, Any], layout: Layout) -> Tensor:
        """(T, D) embeddings with those of the other species added; border tokens have none."""
        if self.columns is None or "others" not in batch:
            return hidden
        others = F.pad(batch["others"], (0, 0, 1, 1), value=OTHER_LETTERS)
        seen: Tensor = self.columns(others.flatten(0, 1)[layout.packing.slots])
        return hidden + seen

    def embed(self, batch: dict[str, Any]) -> Tensor:
        """(B, D) features of whole sequences, the mean over strands where a batch has both."""
        return over_strands(super().embed, batch)

    def baseline(self, batch: dict[str, Any]) -> Tensor:
        """(B, 1024) log1p of how often each word of 5 bases occurs."""
        return baseline(batch)

    def layers(self) -> dict[str, int]:
        """Depth of every encoder parameter."""
        return super().layers() | (
            {} if self.columns is None else {"columns.project.weight": 0}
        )


class DnaTransformer(_OverBases):
    """An encoder of transformers over bases. Implements `Encoder`."""


class MaskedDnaTransformer(_OverBases, MaskedLanguageModel):
    """Predicts hidden bases of the reference. Implements `MaskedModel`.

    bases: (4,) the tokens of A, C, G, T; None where tokens are k-mers.
    conservation: what bases weigh in training; measurements weigh all alike.
    """

    bases: Tensor

    def __init__(
        self,
        whole: Any,
        vocabulary: Vocabulary,
        *,
        bases: tuple[int, ...] | None = None,
        conservation: Conservation | None = None,
        **more: Any,
    ) -> None:
        super().__init__(whole, vocabulary, **more)
        self.conservation = conservation
        self.register_buffer(
            "bases", torch.tensor(bases or ()).long(), persistent=False
        )

    def tokens(self, batch: dict[str, Any]) -> Tensor:  # noqa: ARG002 - as for every modality
        """Refused: bases are names, and the theory is of numbers."""
        raise InputError(
            "modality must be of numbers for the linear theory, got dna, whose bases are names."
        )

    def hide(self, batch: dict[str, Any], mask: Mask, seed: int) -> dict[str, Any]:
        """As for texts, and what each token weighs; labels are tokens."""
        found = super().hide(batch, mask, seed) | weighed(
            self.conservation, batch, seed
        )
        if "labels" in found:
            letters, ids = found["labels"], batch["input_ids"].clone()
            known = torch.cat(
                [self.bases.cpu(), self.bases.new_zeros(1, device="cpu")]
            )[letters]
            ids[:, 1:-1] = torch.where(letters < len(self.bases), known, ids[:, 1:-1])
            found |= {
                "labels": ids,
                "weights": F.pad(found["weights"], (1, 1), value=1.0),
            }
        return found

    def logits(self, batch: dict[str, Any], mask: Mask) -> Tensor:
        """(M, V) at each hidden position, row by row."""
        features, slots = self.features(batch, mask)
        found = F.linear(features[slots.argsort()], *self._vocabulary_map())
        return found if found.dtype == torch.float64 else found.float()

    def named_targets(
        self, batch: dict[str, Any], mask: Mask
    ) -> tuple[Tensor, Tensor | None]:
        """(what is asked for, what each weighs or None), both (M,), row by row."""
        labels = batch.get("labels", batch["input_ids"])[mask.is_masked]
        return labels, batch["weights"][mask.is_masked] if "weights" in batch else None

    def forward(self, batch: dict[str, Any], mask: Mask) -> MaskedOutput:
        """As for texts; weighed where a batch has weights."""
        if "weights" not in batch:
            return super().forward(batch, mask)
        logits, (labels, weights) = (
            self.logits(batch, mask),
            self.named_targets(batch, mask),
        )
        return MaskedOutput(weighed_loss(logits, labels, weights), logits.argmax(dim=1))
