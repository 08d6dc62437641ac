"""Which layer of an encoder is read, and how its tokens become features."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from r2mae.errors import InputError
from r2mae.models.pooling import Pool

Layer = int | Literal["last"]


@dataclass(frozen=True)
class ReadOut:
    """Features of an encoder that `evaluate` and `embed` read.

    layer: "last", or a number from 1; -1 is the last layer, -2 the one before.
    pool: the mean of the tokens, the class token, or all tokens concatenated (of an MLP
        of cells, features and principal components). None: as the model pools them.

    Raises: InputError for other values.
    """

    layer: Layer = "last"
    pool: Pool | None = None

    def __post_init__(self) -> None:
        is_number = isinstance(self.layer, int) and not isinstance(self.layer, bool)
        if self.layer != "last" and not is_number:
            raise InputError(
                f"layer must be last, or a number such as 1 or -1, got {self.layer!r}."
            )
        if self.pool is not None and self.pool not in get_args(Pool):
            raise InputError(
                f"pool must be one of {', '.join(get_args(Pool))}, got {self.pool!r}."
            )

    def to_dict(self) -> dict[str, Any]:
        """{"layer", "pool"} where they differ from the default."""
        default = asdict(ReadOut())
        values = asdict(self).items()
        return {name: value for name, value in values if value != default[name]}
