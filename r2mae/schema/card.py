"""Data cards: source and licence of a data set, and names of its splits and columns."""

from typing import Any, Literal

from pydantic import Field

from r2mae.schema.section import Section


class Card(Section):
    """One data/<name>/card.yaml.

    title: name of the data set, for people.
    modality: of the recipes that may use it.
    source: where to get it, for people.
    licence: of the data.
    files: split -> paths below root, tried in order; each is a glob of parquet files, or
        a folder, which ends with `/`.
    roots: folders to search, in order, where a recipe has no root; then the hub.
    hub: id of the data set for the `datasets` library, used where there is no root.
    num_samples: split -> number of samples, to check a recipe without the data. For
        texts that are packed it counts tokens, for genomes bases.
    embedded: name of a data set that an installed library contains; it needs no root.
    splits: "train" and "test" -> name of the split in the files or on the hub.
    image_column: of images in parquet files.
    label_column: of class labels; null without labels.
    sha256: file -> SHA-256 checksum.
    text: how texts are read. Keys: encoding (one, or file -> encoding where it is not
        UTF-8), separator, quoting (false for none), columns (names, for files without a
        header), rename (of columns: old -> new, where there is the old one), subset.
    mean, std: of pixel values, 0 to 1, one per channel, for normalisation.
    """

    title: str
    modality: str
    source: str
    licence: str
    files: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    roots: tuple[str, ...] = ()
    hub: str | None = None
    num_samples: dict[str, int] = Field(default_factory=dict)
    embedded: str | None = None
    splits: dict[str, str] = Field(
        default_factory=lambda: {"train": "train", "test": "test"}
    )
    image_column: str = "image"
    label_column: str | None = "label"
    sha256: dict[str, str] = Field(default_factory=dict)
    text: dict[str, Any] = Field(default_factory=dict)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def provision(self) -> Literal["bundled", "hub", "own"]:
        """Who provides the data where no root is given: an installed library, a hub, or the user."""
        if self.embedded is not None:
            return "bundled"
        return "own" if self.hub is None else "hub"
