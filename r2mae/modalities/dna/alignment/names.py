"""Sources of MAF rows, "species.contig", split into the two."""

from collections.abc import Iterable
from functools import lru_cache

from r2mae.modalities.dna.genome.store import GenomeStore


class SourceNames:
    """Splits sources at the first dot, or after a species name that itself has dots.

    species: names chosen by the user. Of those with dots, the longest matches first.
    """

    def __init__(self, species: Iterable[str] = ()) -> None:
        # {species: (number between its first two dots, source)}
        self.versions: dict[bytes, tuple[bytes, bytes]] = {}
        dotted = [name for name in species if "." in name]
        self.dotted = sorted(dotted, key=len, reverse=True)
        self._cached = lru_cache(maxsize=1 << 16)(self._species_of)

    def species_of(self, source: bytes) -> str:
        """The species, or assembly, of a row."""
        return self._cached(source)

    def _species_of(self, source: bytes) -> str:
        text = as_text(source)
        for name in self.dotted:
            if text == name or text.startswith(f"{name}."):
                return name
        return text.partition(".")[0]

    def contig_of(self, source: bytes) -> str:
        """The contig of a row; the species' name where the source has no contig."""
        return as_text(source).removeprefix(f"{self.species_of(source)}.")

    def find_ambiguous(
        self, sources: Iterable[bytes], *, has_repeats: bool
    ) -> tuple[str, str] | None:
        """Two sources of one species that may be two: GCA_1.1.chr1 and GCA_1.2.chr1.

        Their species' own name may have a dot, such as the version of an accession.
        has_repeats: whether a species has several rows in this block. If so, sources
            that differ between their first two dots are ambiguous. If not, only numbers
            there count, compared with all blocks so far.
        """
        parts_of = {} if has_repeats else self.versions
        for source in sources:
            first, *rest = source.split(b".", 2)
            is_version = len(rest) == 2 and (has_repeats or rest[0].isdigit())
            if not is_version or self.species_of(source) != as_text(first):
                continue
            part, other = parts_of.setdefault(first, (rest[0], source))
            if part != rest[0]:
                return as_text(other), as_text(source)
        return None


def hint_for(contig: str, reference: str, genome: GenomeStore) -> str:
    """A remedy where the genome lacks a contig: name another species, or write contigs."""
    parts = f"{reference}.{contig}".split(".")
    for cut in range(reference.count(".") + 2, len(parts) + 1):
        species = ".".join(parts[:cut])
        if ".".join(parts[cut:]) in genome.numbers or species in genome.numbers:
            return f"If {species!r} is the species, name it as the reference."
    if contig == reference:
        return (
            f"Rows name no contig: write {contig}.CONTIG there. {genome.near(contig)}"
        )
    return genome.near(contig)


def as_text(source: bytes) -> str:
    """A source decoded from UTF-8, with other bytes escaped."""
    return source.decode(errors="backslashreplace")
