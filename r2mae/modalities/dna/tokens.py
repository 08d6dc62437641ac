"""Tokens of bases or k-mers, for transformers, and the token of each base.

Shapes: B windows, N bases, W = N // k tokens of k bases, between two border tokens.
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
from r2mae.data.tokenizer import ends, load_tokenizer
from r2mae.errors import InputError
from r2mae.interop.token_rule import encode, encodes_as
from r2mae.modalities.dna.genome.bases import LETTERS, N

_NUM_BASES = 2520  # of a random sequence: a multiple of every k up to 10
_NUM_TRIED = 60  # k-mers of the random sequence that a tokenizer is tried on
PADDING = 6  # code after the end of a batch's shorter sequences
_SPECIAL = {"pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}


def _all_kmers(kmer: int) -> list[str]:
    """(4^k) k-mers of A, C, G, T in lexicographic order."""
    return ["".join(letters) for letters in product(LETTERS[:N], repeat=kmer)]


@lru_cache(maxsize=8)
def nucleotide_tokenizer(kmer: int = 1) -> Any:
    """A fast tokenizer of transformers for bases or non-overlapping k-mers.

    Unknown tokens are N for bases, [UNK] for k-mers.
    """
    from tokenizers import (
        Regex,
        Tokenizer,
        models,
        normalizers,
        pre_tokenizers,
        processors,
    )
    from transformers import PreTrainedTokenizerFast

    # [UNK] must not be N for k-mers: special tokens are cut out of any text.
    special = _SPECIAL | {"unk": "N" if kmer == 1 else "[UNK]"}
    vocabulary = {
        token: number
        for number, token in enumerate([*special.values(), *_all_kmers(kmer)])
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=special["unk"]))
    spelling = {"a": "A", "c": "C", "g": "G", "t": "T", "u": "T", "U": "T"}
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Replace(*pair) for pair in spelling.items()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(f".{{1,{kmer}}}"), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    names = {f"{name}_token": token for name, token in special.items()}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **names, clean_up_tokenization_spaces=False
    )


@dataclass(frozen=True)
class Codec:
    """Converts codes of bases to tokens.

    kmers: (4^k,) token ids of k-mers in lexicographic order.
    first, last: token ids at both ends of a row; last is None where rows have no last
        token, as those of Nucleotide Transformer. pad, unknown: token ids.
    """

    tokenizer: Any
    kmer: int
    kmers: Tensor
    first: int
    last: int | None
    pad: int
    unknown: int

    @property
    def num_special(self) -> int:
        """Special tokens of a row: 2, or 1 where there is no last."""
        return 1 if self.last is None else 2

    def encode(self, batch: Batch) -> Batch:
        """Add "input_ids" (B, W + 2), "segment_starts" and "segment_lengths" (B,) to a batch.

        The batch has "bases" (B, N), and "lengths" (B,) where these differ. The place of a
        last token that there is not is padding.
        """
        bases, k = batch["bases"], self.kmer
        count = bases.shape[1] // k
        kmers = bases[:, : count * k].unflatten(1, (count, k))
        ids = torch.full((len(bases), count + 2), self.pad)
        ids[:, 0], ids[:, 1:-1] = self.first, self._tokens(kmers)
        lengths = np.full(len(bases), count)
        if "lengths" in batch:
            lengths = batch["lengths"].numpy() // k
            is_padding = torch.arange(count) >= torch.from_numpy(lengths)[:, None]
            ids[:, 1:-1].masked_fill_(is_padding, self.pad)
        last = self.pad if self.last is None else self.last
        ids[torch.arange(len(ids)), torch.from_numpy(lengths) + 1] = last
        starts = np.arange(len(ids)) * ids.shape[1]
        if "other_strand" in batch:
            batch = batch | {"other_strand": self.encode(batch["other_strand"])}
        return batch | {
            "input_ids": ids,
            "segment_starts": starts,
            "segment_lengths": lengths + self.num_special,
        }

    def candidates(self, bases: Tensor, sites: Tensor) -> tuple[Tensor, Tensor]:
        """(index in the row of the site's token (B,), its ids with A, C, G, T there (B, 4)).

        bases: (B, N); sites: (B,) positions. All four ids are unknown where another base
        of the site's k-mer is.
        """
        k = self.kmer
        index = sites // k
        within = (index * k)[:, None] + torch.arange(k)
        kmers = bases.gather(1, within)[:, None].repeat(1, 4, 1)
        place = (sites % k)[:, None, None].expand(-1, 4, 1)
        alleles = torch.arange(4)[None, :, None].expand(len(sites), 4, 1)
        kmers.scatter_(2, place, alleles)
        return index + 1, self._tokens(kmers)

    def _tokens(self, kmers: Tensor) -> Tensor:
        """(B, W) token ids of codes (B, W, k); unknown for a k-mer with an N."""
        digits = 4 ** torch.arange(self.kmer - 1, -1, -1)
        numbers = (kmers.clamp(max=3) * digits).sum(dim=2)
        return torch.where((kmers < N).all(dim=2), self.kmers[numbers], self.unknown)


def make_codec(tokenizer: Any, kmer: int = 1) -> Codec:
    """The codec of a tokenizer, ours or another's.

    Raises: InputError for one that lacks a token for a base or k-mer, or that makes other
        tokens of a sequence than one for each.
    """
    vocabulary = tokenizer.get_vocab()
    kmers = _all_kmers(kmer)
    if kmers[0] not in vocabulary:
        kmers = [text.lower() for text in kmers]
    missing = [text for text in kmers if text not in vocabulary]
    if missing:
        raise InputError(
            f"model.tokenizer must have a token for each of {', '.join(kmers[:4])}, "
            f"got none for {missing[0]}. {_remedy(tokenizer, kmer)}"
        )
    first, last = ends(tokenizer)
    assert first is not None  # checked when it was loaded
    pad = tokenizer.pad_token_id
    unknown = vocabulary.get("N", vocabulary.get("n", tokenizer.unk_token_id))
    unknown = pad if unknown is None else unknown
    # On the CPU even where models are built on the meta device.
    ids = torch.tensor([vocabulary[text] for text in kmers], device="cpu")
    codec = Codec(tokenizer, kmer, ids, first, last, pad, unknown)
    check_tokens(codec, tokenizer)
    return codec


def check_tokens(codec: Codec, tokenizer: Any) -> None:
    """Raise InputError unless a tokenizer makes a codec's tokens of a random sequence.

    BPE joins bases, and overlapping k-mers share them: a model of such tokens cannot read
    ours. A tokenizer that splits at white space only is tried on bases with spaces too.
    """
    kmers, k = _all_kmers(codec.kmer), codec.kmer
    numbers = np.random.default_rng(0).integers(0, len(kmers), _NUM_TRIED)
    expected = codec.kmers[torch.from_numpy(numbers)].tolist()
    parts = [kmers[number] for number in numbers]
    texts = ["".join(parts)]
    if k == 1 and not _joins_bases(tokenizer):
        texts.append(" ".join(parts))
    texts += [text.lower() for text in texts]
    if any(
        encodes_as(tokenizer, text, codec.first, expected, codec.last) for text in texts
    ):
        return
    plain = encode(tokenizer, texts[0])
    if plain == expected:  # only the special tokens differ
        plain = encode(tokenizer, texts[0], special=True)
    tokens = tokenizer.convert_ids_to_tokens(plain)
    raise InputError(
        f"model.tokenizer must make {len(parts)} tokens of {len(parts)} "
        f"{'bases' if k == 1 else f'{k}-mers'} in a row, "
        f"got {len(tokens)} of {texts[0][:8]}...: {', '.join(tokens[:4])}... "
        f"{_remedy(tokenizer, k)}"
    )


def _remedy(tokenizer: Any, kmer: int) -> str:
    """What to do about a tokenizer whose tokens are not single k-mers."""
    bases = np.random.default_rng(0).choice(list(LETTERS[:N]), _NUM_BASES)
    tokens = tokenizer.convert_ids_to_tokens(encode(tokenizer, "".join(bases)))
    sizes = {*map(len, tokens)}
    size = min(sizes, default=0)
    if len(sizes) == 1 and size * len(tokens) == _NUM_BASES and size != kmer:
        return f"Its tokens are {size}-mers: set model.kmer to {size}."
    return (
        "Name one with a token for each base, or leave out model.tokenizer and "
        "model.init_from. Joined bases (BPE) can be trained as texts, modality: language."
    )


def _joins_bases(tokenizer: Any) -> bool:
    """Whether some token is of several bases."""
    return any(
        len(text) > 1 and not set(text) - set("ACGTacgt")
        for text in tokenizer.get_vocab()
    )


@lru_cache(maxsize=8)
def find_codec(tokenizer: str | None, kmer: int) -> Codec:
    """The codec of a tokenizer's folder or hub id; None: of our own tokenizer."""
    if tokenizer is None:
        return make_codec(nucleotide_tokenizer(kmer), kmer)
    loaded = load_tokenizer(tokenizer, needs_last=False, key="model.tokenizer")
    return make_codec(loaded, kmer)


class DnaTokens:
    """A `SampleSource` that adds tokens to another's bases."""

    def __init__(self, source: SampleSource, codec: Codec) -> None:
        """Raises: InputError where a sequence is shorter than a token."""
        if (shortest := getattr(source, "shortest", codec.kmer)) < codec.kmer:
            raise InputError(
                f"{source.where} must hold sequences of at least {codec.kmer} bases, "  # type: ignore[attr-defined]
                f"one token, got {shortest}. Remove shorter ones."
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
        """As the source holds out, if it does."""
        if not hasattr(self.source, "hold_out"):
            return None
        parts = self.source.hold_out(share)
        if parts is None:
            return None
        return DnaTokens(parts[0], self.codec), DnaTokens(parts[1], self.codec)

    def load(self, indices: Tensor, positions: Tensor | None, seed: int) -> Batch:
        """Samples at indices (B,)."""
        return self.codec.encode(self.source.load(indices, positions, seed))

    def name(self, index: int) -> str:
        """Name of a sample in messages."""
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
        """Class names by class number."""
        return self.source.class_names


if TYPE_CHECKING:  # mypy fails here where a method of the protocol is missing
    _source: type[SampleSource] = DnaTokens
