"""Values of a genome's bases (conservation scores, say) from bedGraph, wiggle or tables, one float32 a base."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Track:
    """Values along the flat array of a genome's bases, mapped; nan where there is none."""

    place: Path
    meta: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """Of the file and the genome."""
        return str(self.meta["fingerprint"])

    @cached_property
    def values(self) -> npt.NDArray[np.float32]:
        """(T,)."""
        return np.memmap(self.place / "values.bin", dtype=np.float32, mode="r", shape=(self.meta["bases"],))
