"""What a source in MAF says: a species, and a contig of it."""

from collections.abc import Iterable

from r2mae.modalities.dna.genome.store import GenomeStore


class SourceNames:
    """Sources as species: what stands before the first dot, or the whole word where there is none.

    known: species that were named whole; those with dots are looked for first, the longest of them first of all.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        self.versions: dict[
            bytes, tuple[bytes, bytes]
        ] = {}  # of species: a number between two dots, its source
        self.dotted = sorted(
            (name for name in known if "." in name), key=len, reverse=True
        )

    def species_of(self, source: bytes) -> str:
        """The assembly that a row is of."""
        text = as_text(source)
        if self.dotted:
            for name in self.dotted:
                if text.startswith(name) and text[len(name) : len(name) + 1] in (
                    "",
                    ".",
                ):
                    return name
        return text.partition(".")[0]

    def contig_of(self, source: bytes) -> str:
        """What a source says behind the assembly; where that is nothing, the contig is called like it."""
        return as_text(source).removeprefix(f"{self.species_of(source)}.")

    def alike(
        self, sources: Iterable[bytes], *, repeated: bool
    ) -> tuple[str, str] | None:
        """Two sources of one species whose names may have been cut at a dot of their own: GCA_1.1.chr1, GCA_1.2.chr1.

        repeated: whether some species comes twice among the sources of this block, which only other words between its
        first two dots can tell apart; else other numbers there do, in this block or one before.
        """
        seen = {} if repeated else self.versions
        for source in sources:
            first, *rest = source.split(b".", 2)
            if (
                len(rest) < 2
                or not (repeated or rest[0].isdigit())
                or self.species_of(source) != as_text(first)
            ):
                continue
            word, other = seen.setdefault(first, (rest[0], source))
            if word != rest[0]:
                return as_text(other), as_text(source)
        return None


def hint_for(contig: str, reference: str, genome: GenomeStore) -> str:
    """A remedy where rows of a reference say a contig that its genome lacks: names were cut at another dot, or none."""
    words = f"{reference}.{contig}".split(".")
    for cut in range(reference.count(".") + 2, len(words) + 1):
        species = ".".join(words[:cut])
        if ".".join(words[cut:]) in genome.numbers or species in genome.numbers:
            return f"Where {species!r} is the species, name it as the reference."
    if contig == reference:
        return f"Rows say no contig: write {contig}.CONTIG there. {genome.near(contig)}"
    return genome.near(contig)


def as_text(source: bytes) -> str:
    """A name in a file of any encoding."""
    return source.decode(errors="backslashreplace")
