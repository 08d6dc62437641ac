"""How far the build of a store has come, so that the same call resumes it."""

import json
from pathlib import Path
from typing import Any

from r2mae.data.atomic import write_atomic


class Journal:
    """journal.json in a folder that is being built.

    Flush what it counts to disk before `write`. On resuming, what was written after it
    is written again.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal.json"

    def read(self) -> dict[str, Any] | None:
        """The state written last; None where there is none, or it is damaged."""
        try:
            text = self.path.read_text()
            return dict(json.loads(text))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write(self, state: dict[str, Any]) -> None:
        """Replace the state; on disk when it returns."""
        write_atomic(self.path, json.dumps(state))

    def delete(self) -> None:
        """Delete the file, when the build is complete."""
        self.path.unlink()
