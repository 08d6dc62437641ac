"""What a probe sees of its samples."""

from typing import NamedTuple


class ProbeInput(NamedTuple):
    """hidden: the share of each test sample that is hidden.

    copied: the probe is trained also on a copy of each training sample with as large a share
        hidden; otherwise on complete samples alone.
    """

    hidden: float = 0.0
    copied: bool = False
