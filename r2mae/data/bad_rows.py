"""Rows of tables, or images, that cannot be used: an error, or skipped and counted on request."""

from r2mae.errors import InputError

_EXAMPLES = 3


class BadRows:
    """Skips bad rows and counts them, or raises an error at the first.

    skip: whether they are skipped.
    remedy: end of the message on a bad row that is an error.
    noun: what a row is called: "row", "image" or "file".
    numbers: of skipped rows, from 0, in the order of reading.
    """

    def __init__(
        self, *, skip: bool = False, remedy: str = "", noun: str = "row"
    ) -> None:
        self.skip = skip
        self.remedy = remedy
        self.noun = noun
        self.numbers: list[int] = []
        self.examples: list[str] = []

    def reject(self, number: int, message: str) -> None:
        """Leave out a row. Raises: InputError unless bad rows are to be skipped."""
        if not self.skip:
            raise InputError(f"{message} {self.remedy}".strip())
        self.numbers.append(number)
        if len(self.examples) < _EXAMPLES:
            self.examples.append(message)

    def add(self, other: "BadRows") -> None:
        """Count the rows that another reading left out."""
        self.numbers += other.numbers
        self.examples = [*self.examples, *other.examples][:_EXAMPLES]

    def check_few(self, total: int, where: str) -> None:
        """Raise InputError where more than half of all rows, total, were left out."""
        if 2 * len(self.numbers) > total:
            raise InputError(
                f"{where} must be right in at least half of {self._counted(total)}, got "
                f"{self.note} Mend them."
            )

    def _counted(self, count: int, adjective: str = "") -> str:
        return f"{count:,} {adjective}{self.noun}{'' if count == 1 else 's'}"

    @property
    def note(self) -> str:
        """One line on the skipped rows; empty without any."""
        if not self.numbers:
            return ""
        rest = ", ..." if len(self.numbers) > len(self.examples) else ""
        counted = self._counted(len(self.numbers), "bad ")
        return f"{counted}: {' '.join(self.examples)}{rest}"


SKIP_OPTION = "Mend the file, or leave what is bad out: --skip-bad-rows."
