"""Transformers over DNA: language models of bases, with aligned species where given.

Shapes: B windows, N bases, L tokens of a row with [CLS] and [SEP], S species,
T tokens in all, M hidden positions, D width.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor

from r2mae.masking.mask import Mask
from r2mae.modalities.dna.conservation import Conservation
from r2mae.modalities.dna.models.columns import (
    OTHER_LETTERS,
    Columns,
    baseline,
    loss_weights,
    over_strands,
    refuse_species,
    tokens_of_strands,
    weights_at,
)
from r2mae.modalities.dna.models.conv import weighted_loss
from r2mae.models.language_encoder import LanguageEncoder, Vocabulary
from r2mae.models.masked_language import MaskedLanguageModel, TokenMasking
from r2mae.models.masking_rules import masked_slots
from r2mae.models.padded import PaddedRows
from r2mae.models.protocol import MaskedOutput
from r2mae.models.segments import Layout


@dataclass(frozen=True)
class DnaTokenMasking(TokenMasking):
    """As for texts, with labels and weights of the loss. Implements `MaskingRules`.

    bases: (4,) token ids of A, C, G, T; () where tokens are k-mers.
    """

    bases: tuple[int, ...] = ()
    conservation: Conservation | None = None

    def corrupt(self, batch: dict[str, Any], mask: Mask, seed: int) -> dict[str, Any]:
        """As for texts, with "weights" and "labels" (B, L) where weighted."""
        entries = super().corrupt(batch, mask, seed)
        weighted = loss_weights(self.conservation, batch, seed)
        if not weighted:
            return entries
        letters, labels = weighted["labels"], batch["input_ids"].clone()
        # A fifth entry, for letters that are not a base: those keep their token.
        token_of = torch.tensor((*self.bases, 0))
        is_base = letters < len(self.bases)
        labels[:, 1:-1] = torch.where(is_base, token_of[letters], labels[:, 1:-1])
        weights = F.pad(weighted["weights"], (1, 1), value=1.0)
        return entries | {"labels": labels, "weights": weights}


class _DnaEncoder(LanguageEncoder):
    """Adds aligned species, and the mean over strands, to a language model.

    num_others: species beside the reference, 0 without an alignment.
    """

    def __init__(
        self, base: Any, vocabulary: Vocabulary, *, num_others: int = 0, **options: Any
    ) -> None:
        super().__init__(base, vocabulary, **options)
        self.columns = Columns(num_others, self.width) if num_others else None

    def enrich(
        self, hidden: Tensor, batch: dict[str, Any], layout: Layout | PaddedRows
    ) -> Tensor:
        """(T, D) embeddings plus those of the other species; [CLS] and [SEP] have none."""
        if self.columns is None or "others" not in batch:
            return hidden
        others = F.pad(batch["others"], (0, 0, 1, 1), value=OTHER_LETTERS)
        features: Tensor = self.columns(others.flatten(0, 1)[layout.slots])
        return hidden + features

    def embed(self, batch: dict[str, Any]) -> Tensor:
        """(B, D) features of sequences; the mean of both strands where the batch has them."""
        return over_strands(super().embed, batch)

    def embed_padded(self, batch: dict[str, Any]) -> Tensor:
        """As `embed`, for rows with an "attention_mask"; "other_strand" holds one too."""
        return over_strands(super().embed_padded, batch)

    def embed_tokens(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """(tokens (B, T, D), is_token (B, T)), of both strands where the batch has them."""
        return tokens_of_strands(self.encode_rows, batch)

    def baseline(self, batch: dict[str, Any]) -> Tensor:
        """(B, 1024) log1p of 5-mer counts."""
        return baseline(batch)

    def layers(self) -> dict[str, int]:
        """Parameter name -> depth, for the encoder."""
        depths = super().layers()
        if self.columns is not None:
            depths["columns.project.weight"] = 0
        return depths


class DnaTransformer(_DnaEncoder):
    """An encoder of transformers over bases. Implements `Encoder`."""


class MaskedDnaTransformer(_DnaEncoder, MaskedLanguageModel):
    """Predicts hidden bases of the reference. Implements `MaskedModel`.

    kmer: bases of a token.
    bases: (4,) token ids of A, C, G, T; () where tokens are k-mers.
    conservation: weights of bases in the training loss; evaluation weighs all the same.
    """

    def __init__(
        self,
        network: Any,
        vocabulary: Vocabulary,
        *,
        kmer: int = 1,
        bases: tuple[int, ...] = (),
        conservation: Conservation | None = None,
        replacement: tuple[float, float] = (1.0, 0.0),
        **options: Any,
    ) -> None:
        super().__init__(network, vocabulary, **options)
        self.kmer = kmer
        self.masking = DnaTokenMasking(
            self.grid, vocabulary, replacement, bases=bases, conservation=conservation
        )

    def tokens(self, batch: dict[str, Any]) -> Tensor:
        """(B, N) int64 token ids, -1 for special tokens and padding.

        Raises: InputError for alignments, whose other species are never masked.
        """
        refuse_species(self.columns)
        return super().tokens(batch)

    def embed(self, batch: dict[str, Any], mask: Mask | None = None) -> Tensor:
        """(B, D) features of sequences; with a mask, of the given strand with hidden bases masked."""
        if mask is None:
            return super().embed(batch)
        return MaskedLanguageModel.embed(self, batch, mask)

    def baseline(self, batch: dict[str, Any], mask: Mask | None = None) -> Tensor:
        """(B, 1024) log1p of 5-mer counts; of expected ones where bases are hidden."""
        if mask is None:
            return baseline(batch)
        is_hidden = mask.is_masked[:, 1:-1].repeat_interleave(self.kmer, dim=1)
        rest = batch["bases"].shape[1] - is_hidden.shape[1]  # fewer than a token
        return baseline(batch, F.pad(is_hidden, (0, rest), value=False))

    def embed_tokens(
        self, batch: dict[str, Any], mask: Mask | None = None
    ) -> tuple[Tensor, Tensor]:
        """(tokens (B, T, D), is_token (B, T)); with a mask, as in `embed`."""
        if mask is None:
            return super().embed_tokens(batch)
        return self.encode_rows(self._hide(batch, mask))

    def logits(self, batch: dict[str, Any], mask: Mask) -> Tensor:
        """(M, V) at each hidden position, row by row."""
        features, slots = self.features(batch, mask)
        logits = F.linear(features[slots.argsort()], *self.output_layer())
        return logits if logits.dtype == torch.float64 else logits.float()

    def named_targets(
        self, batch: dict[str, Any], mask: Mask
    ) -> tuple[Tensor, Tensor | None]:
        """(labels (M,), weights (M,) or None for equal weights), row by row."""
        slots = masked_slots(batch, mask)
        labels = batch.get("labels", batch["input_ids"]).flatten()[slots]
        return labels, weights_at(batch, mask, slots)

    def forward(self, batch: dict[str, Any], mask: Mask) -> MaskedOutput:
        """As for texts; a weighted loss where the batch has weights."""
        if "weights" not in batch:
            return super().forward(batch, mask)
        logits = self.logits(batch, mask)
        loss = weighted_loss(logits, *self.named_targets(batch, mask))
        return MaskedOutput(loss, logits.argmax(dim=1))


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    from r2mae.models.protocol import Encoder, MaskedModel

    _encoder: type[Encoder] = DnaTransformer
    _masked_model: type[MaskedModel] = MaskedDnaTransformer
