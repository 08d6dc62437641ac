"""Data cards: where a data set comes from, under which licence, and how its splits and columns are named."""

from typing import Any

from pydantic import Field

from r2mae.schema.section import Section


class Card(Section):
    """One data/<name>/card.yaml.

    files: split -> places below root, tried in order: a glob of parquet files, or a folder (ends with `/`).
    roots: folders that are looked for when a recipe gives no root, before the hub.
    hub: a `datasets` id, used when there is no root.
    num_samples: split -> samples (of texts to pack tokens, of genomes bases), so that a recipe can be checked where the
        data is not.
    embedded: a data set that an installed library carries; needs no root.
    text: how its texts are read: encoding (one, or by name those of files that are not UTF-8), separator, quoting
        (false: none), columns (names, where there is no header), subset.
    mean, std: of pixels, 0 to 1, by channel.
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
