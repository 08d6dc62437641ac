"""Bases as tokens: what a transformer reads of windows and sequences, and where a base is among them.

B windows, N bases, L tokens of a row: a border token, N / k tokens of k bases, a border token.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from r2mae.data.source import Batch, SampleSource
from r2mae.data.tokenizer import borders, load_tokenizer
from r2mae.errors import InputError
from r2mae.modalities.dna.genome.bases import LETTERS, N

PADDING = 6  # where a sequence is shorter than others of its batch
_SPECIAL = {"pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}


@lru_cache(maxsize=8)
def nucleotide_tokenizer(kmer: int = 1) -> Any:
    """transformers' fast tokenizer of bases, or of k-mers that do not overlap; all else is N, or [UNK]."""
    from tokenizers import (
        Regex,
        Tokenizer,
        models,
        normalizers,
        pre_tokenizers,
        processors,
    )
    from transformers import PreTrainedTokenizerFast

    special = _SPECIAL | {
        "unk": "N" if kmer == 1 else "[UNK]"
    }  # a special token is cut out of any text
    words = [
        *special.values(),
        *("".join(word) for word in product(LETTERS[:N], repeat=kmer)),
    ]
    numbers = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token=special["unk"]))
    spelt = {"a": "A", "c": "C", "g": "G", "t": "T", "u": "T", "U": "T"}
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Replace(*pair) for pair in spelt.items()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(f".{{1,{kmer}}}"), "isolated")
    ends = [(word, numbers[word]) for word in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=ends
    )
    names = {f"{name}_token": word for name, word in special.items()}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **names, clean_up_tokenization_spaces=False
    )


@dataclass(frozen=True)
class Codec:
    """Codes of bases -> tokens.

    kmers: (4^k,) the tokens of k-mers, A C G T counted as digits. Rows begin with `first` and end with `last`.
    """

    tokenizer: Any
    kmer: int
    kmers: Tensor
    first: int
    last: int
    pad: int
    unknown: int

    def encode(self, batch: Batch) -> Batch:
        """A batch of "bases" (B, N), and "lengths" (B,) where these differ, with what a language model reads."""
        bases, k = batch["bases"], self.kmer
        num_words = bases.shape[1] // k
        words = bases[:, : num_words * k].unflatten(1, (num_words, k))
        ids = torch.full((len(bases), num_words + 2), self.pad)
        ids[:, 0], ids[:, 1:-1] = self.first, self._tokens(words)
        lengths = np.full(len(bases), num_words)
        if "lengths" in batch:
            lengths = batch["lengths"].numpy() // k
            ids[:, 1:-1].masked_fill_(
                torch.arange(num_words) >= torch.from_numpy(lengths)[:, None], self.pad
            )
        ids[torch.arange(len(ids)), torch.from_numpy(lengths) + 1] = self.last
        starts = np.arange(len(ids)) * ids.shape[1]
        if "other_strand" in batch:
            batch = batch | {"other_strand": self.encode(batch["other_strand"])}
        return batch | {
            "input_ids": ids,
            "segment_starts": starts,
            "segment_lengths": lengths + 2,
        }

    def candidates(self, bases: Tensor, sites: Tensor) -> tuple[Tensor, Tensor]:
        """(place among a row's tokens (B,), tokens that stand there with A, C, G, T at the site (B, 4)) of sites (B,).

        Where another base of the site's word is unknown, all four are the unknown token.
        """
        k, four = self.kmer, torch.arange(4)
        place = sites // k
        words = bases.gather(1, (place * k)[:, None] + torch.arange(k))[:, None].repeat(
            1, 4, 1
        )
        words.scatter_(
            2,
            (sites % k)[:, None, None].expand(-1, 4, 1),
            four[None, :, None].expand(len(sites), 4, 1),
        )
        return place + 1, self._tokens(words)

    def _tokens(self, words: Tensor) -> Tensor:
        """(B, W) of words (B, W, k); one with an unknown base is unknown."""
        digits = 4 ** torch.arange(self.kmer - 1, -1, -1)
        numbers = (words.clamp(max=3) * digits).sum(dim=2)
        return torch.where((words < N).all(dim=2), self.kmers[numbers], self.unknown)


def make_codec(tokenizer: Any, kmer: int = 1) -> Codec:
    """The codec of our own tokenizer, or of another with a token for each base.

    Raises: InputError for one without.
    """
    vocabulary = tokenizer.get_vocab()
    words = ["".join(word) for word in product(LETTERS[:N], repeat=kmer)]
    if words[0] not in vocabulary:
        words = [word.lower() for word in words]
    strange = [word for word in words if word not in vocabulary]
    if strange:
        raise InputError(
            f"model.tokenizer must have a token for each of {', '.join(words[:4])}, got none for {strange[0]}."
        )
    first, last = borders(tokenizer) or (0, 0)
    unknown = vocabulary.get("N", vocabulary.get("n", tokenizer.unk_token_id))
    kmers = torch.tensor(
        [vocabulary[word] for word in words], device="cpu"
    )  # also where shapes alone are asked for
    pad = tokenizer.pad_token_id
    return Codec(
        tokenizer, kmer, kmers, first, last, pad, pad if unknown is None else unknown
    )


@lru_cache(maxsize=8)
def find_codec(tokenizer: str | None, kmer: int) -> Codec:
    """The codec of a tokenizer's folder or hub id, or our own."""
    return make_codec(
        nucleotide_tokenizer(kmer) if tokenizer is None else load_tokenizer(tokenizer),
        kmer,
    )


class DnaTokens:
    """A `SampleSource` of bases with their tokens beside them."""

    def __init__(self, source: SampleSource, codec: Codec) -> None:
        """Raises: InputError where a sequence is shorter than a token."""
        if (shortest := getattr(source, "shortest", codec.kmer)) < codec.kmer:
            raise InputError(
                f"{source.where} must hold sequences of {codec.kmer} bases at least, one token, got {shortest}. "  # type: ignore[attr-defined]
                "Take shorter ones out."
            )
        self.source = source
        self.codec = codec
        self.fingerprint = source.fingerprint
        if hasattr(source, "left_out"):
            self.left_out = source.left_out
        if hasattr(source, "targets"):
            self.targets = source.targets
        self.note = getattr(source, "note", "")

    def __len__(self) -> int:
        return len(self.source)

    def hold_out(self, share: float) -> "tuple[DnaTokens, DnaTokens] | None":
        """As the source's own, where that has one."""
        found = (
            self.source.hold_out(share) if hasattr(self.source, "hold_out") else None
        )
        return (
            None
            if found is None
            else (DnaTokens(found[0], self.codec), DnaTokens(found[1], self.codec))
        )

    def load(self, indices: Tensor, positions: Tensor | None, seed: int) -> Batch:
        """Samples at indices (B,)."""
        return self.codec.encode(self.source.load(indices, positions, seed))

    def name(self, index: int) -> str:
        """What a message calls a sample."""
        return self.source.name(index)

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """(N,) class numbers, or None."""
        return self.source.labels

    @property
    def labels_absent(self) -> str:
        """Why there are no labels."""
        return self.source.labels_absent

    @property
    def class_names(self) -> dict[int, str]:
        """What people call the class numbers."""
        return self.source.class_names


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    _source: type[SampleSource] = DnaTokens
