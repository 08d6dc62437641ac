"""DNA's recipe sections: genomes, alignments, labelled sequences."""

from typing import Any, Literal

from pydantic import Field, model_validator

from r2mae.law import UniformRatio
from r2mae.schema.finetune import FinetuneRecipe
from r2mae.schema.mask import Ratio
from r2mae.schema.pretrain import PretrainRecipe, PretrainWatchSection
from r2mae.schema.recipe import DataSection
from r2mae.schema.section import Section
from r2mae.schema.tokens import HUGE_LENGTH, TokenMask, TransformerEncoder

MAX_KMER = 8


class AlignmentSection(Section):
    """Other species beside the genome: data are .maf files, aligned FASTA or a store of an alignment.

    reference: the species whose bases are hidden; a store knows its own. genome: FASTA of the reference, for positions
        outside all blocks. species: how many rows there are, the reference among them; where the data is not here,
        nothing else tells. names: of the species, in the order of the store, where it has to be that; a run knows those
        that it was trained on. least_aligned: share of a window that blocks must reach.
    """

    reference: str | None = None
    genome: str | None = None
    species: int | None = Field(default=None, ge=2, le=1000)
    names: tuple[str, ...] | None = None
    least_aligned: float = Field(default=0.0, ge=0, le=1)


class TracksSection(Section):
    """Numbers a base, of bedGraph, wiggle or TSV files, that weights of the loss read.

    phylop: file of phyloP scores. phastcons: file of phastCons scores.
    aliases: {contig in these files and in BED files of data: contig in the genome}; a missing "chr" needs none.
    """

    phylop: str | None = None
    phastcons: str | None = None
    aliases: dict[str, str] = Field(default_factory=dict)


class DnaData(DataSection):
    """A genome of a card, or at root: a store, or FASTA files, tables of sequences or a glob of them; with `alignment`,
    an alignment. Of tables every row of the column "sequence" is a contig, called FOLDER/FILE/ROW.

    card: name of a data card, or path of one; genome_files is for a genome or alignment of your own.
    root: place of the data, instead of the card's.
    length, stride: bases of a window, and from one to the next; null: length, so that windows do not overlap.
    least_known: share of a window's bases that are no N.
    include, exclude, test: a contig, contig:first-last counted from 1, or a .bed file. Nothing included is all. Where
        nothing is the test split, it is what is held out of training.
    both_strands: half of all windows, drawn anew every time, are reverse complements.
    name_by_file: contigs are called file:contig, where files share names.
    """

    card: str = "genome_files"
    root: str | None = None
    length: int = Field(default=512, ge=8, le=HUGE_LENGTH)
    stride: int | None = Field(default=None, ge=1, le=HUGE_LENGTH)
    least_known: float = Field(default=0.5, ge=0, le=1)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    both_strands: bool = True
    name_by_file: bool = False
    alignment: AlignmentSection | None = None
    tracks: TracksSection = TracksSection()


class DnaSequenceData(DataSection):
    """Labelled sequences of a card, or at root: .csv, .tsv, .parquet, or .fa whose headers end in the class.

    card: name of a data card, or path of one; sequence_files is for sequences of your own.
    root: folder of the data, instead of the card's.
    label_column: of classes or numbers, instead of the card's; for tune.target multi_label, also several of 0 and 1.
    column: that holds the sequences. length: bases; longer ones are cut at both ends alike.
    both_strands: training reads half of all, drawn anew every time, as reverse complements; whatever is measured or
        predicted, of the mean of both strands' features. For labels that do not depend on the strand.
    Training sequences that the test split holds too, letter by letter, are left out.
    """

    card: str = "sequence_files"
    root: str | None = None
    column: str = "sequence"
    label_column: str | tuple[str, ...] | None = None
    length: int = Field(default=512, ge=8, le=HUGE_LENGTH)
    both_strands: bool = False


class DnaMask(TokenMask):
    """Which bases are hidden, and what stands in their places: [MASK], another base, or the base itself."""

    ratio: Ratio = Field(default_factory=lambda: UniformRatio(0.05, 0.3))  # type: ignore[assignment]
    pattern: Literal["random", "span"] = "random"  # type: ignore[assignment]


class DnaLoss(Section):
    """What a hidden base weighs; the defaults weigh all alike. GPN-MSA: 0.1, true, 0.1, 7, 0.1, 0.5.

    repeat_weight: of soft-masked bases.
    phylop: weights are times max(phyloP, 1).
    phastcons_floor: weights are times this + phastCons, the greatest of `smooth` neighbours.
    smooth: bases of that neighbourhood, an odd number.
    flip_below, flip_share: where phastCons, so smoothed, is less, this share of labels is replaced by a random base.
    """

    repeat_weight: float = Field(default=1.0, ge=0, le=1)
    phylop: bool = False
    phastcons_floor: float | None = Field(default=None, ge=0, le=1)
    smooth: int = Field(default=7, ge=1, le=999)
    flip_below: float = Field(default=0.1, ge=0, le=1)
    flip_share: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _check(self) -> "DnaLoss":
        if self.smooth % 2 == 0:
            raise ValueError(f"smooth must be odd, got {self.smooth}.")
        return self

    @property
    def is_plain(self) -> bool:
        """True where every hidden base weighs 1."""
        return (
            self.repeat_weight == 1
            and not self.phylop
            and self.phastcons_floor is None
            and not self.flip_share
        )


class DnaEncoder(TransformerEncoder):
    """Dilated convolutions over bases, or a transformer over single bases or k-mers.

    encoder: "conv", or a transformer as for texts.
    width, depth: of conv, by default 128 and 12 blocks; of others as for texts.
    kernel, dilations: of conv; dilations are cycled through.
    rc_equivariant: reverse-complement equivariance of conv: half the parameters, shared between both strands.
    kmer: bases of a token; tokens do not overlap.
    tokenizer: null is our own, or that of init_from; else a folder or hub id, with a token for each base.
    """

    encoder: Literal["conv", "modernbert", "bert", "roberta", "esm"] = "modernbert"  # type: ignore[assignment]
    kernel: int = Field(default=5, ge=3, le=99)
    dilations: tuple[int, ...] = Field(
        default=(1, 2, 4, 8, 16, 32), min_length=1, max_length=64
    )
    rc_equivariant: bool = False
    kmer: int = Field(default=1, ge=1, le=MAX_KMER)
    tokenizer: str | None = None

    @model_validator(mode="after")
    def _check_dna(self) -> "DnaEncoder":
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, got {self.kernel}.")
        if not all(1 <= dilation <= HUGE_LENGTH for dilation in self.dilations):
            raise ValueError(
                f"dilations must be whole numbers from 1, got {list(self.dilations)}."
            )
        if self.kmer > 1 and self.tokenizer is not None:
            raise ValueError(
                f"kmer must be 1 with a tokenizer of its own, got {self.kmer}."
            )
        if self.encoder == "conv":
            for name, plain in (
                ("heads", None),
                ("hidden", None),
                ("tokenizer", None),
                ("kmer", 1),
                ("config", {}),
            ):
                if getattr(self, name) != plain:
                    raise ValueError(
                        f"{name} must be left out with encoder conv, got {getattr(self, name)}."
                    )
            if self.pooling != "mean":
                raise ValueError(
                    f"pooling must be mean with encoder conv, got {self.pooling}."
                )
        if self.rc_equivariant and self.encoder != "conv":
            raise ValueError(
                f"rc_equivariant must be false with encoder {self.encoder}, got true."
            )
        if self.rc_equivariant and (self.width or 0) % 2:
            raise ValueError(
                f"width must be even with rc_equivariant, got {self.width}."
            )
        return self


class DnaModel(DnaEncoder):
    """A masked model of DNA."""

    loss: DnaLoss = DnaLoss()


class DnaClassifier(DnaEncoder):
    """A DNA encoder under a classifier's head. `init_from: null` trains it from scratch."""


def check_dna_recipe(data: DnaData, model: Any) -> None:
    """Raise ValueError for sections that do not go together."""
    if model.kmer > 1 and (data.alignment is not None or not model.loss.is_plain):
        raise ValueError(
            f"model.kmer must be 1 with an alignment or weights of the loss, got {model.kmer}."
        )
    if data.length % model.kmer or data.length < 2 * model.kmer:
        raise ValueError(
            f"data.length must be whole tokens of {model.kmer} bases, 2 at least, got {data.length}."
        )
    for name, is_needed in (
        ("phylop", model.loss.phylop),
        (
            "phastcons",
            model.loss.phastcons_floor is not None or model.loss.flip_share > 0,
        ),
    ):
        if is_needed and getattr(data.tracks, name) is None:
            raise ValueError(
                f"data.tracks.{name} must be given for model.loss, got nothing."
            )


class DnaWatch(PretrainWatchSection):
    """DNA is measured within its default law."""

    ratios: tuple[float, ...] = Field(
        default=(0.05, 0.15, 0.3), min_length=1, max_length=16
    )


class DnaPretrainRecipe(PretrainRecipe[DnaData, DnaModel]):
    """DNA hides bases: patterns of its own, and a law by default."""

    mask: DnaMask = DnaMask()
    watch: DnaWatch = DnaWatch()

    @model_validator(mode="after")
    def _check_dna(self) -> "DnaPretrainRecipe":
        check_dna_recipe(self.data, self.model)
        return self


DnaFinetuneRecipe = FinetuneRecipe[DnaSequenceData, DnaClassifier]
