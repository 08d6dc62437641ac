"""`r2mae embed --tokens`: the features of every token, as .npy or .npz.

Shapes: N samples, T tokens of K features.
"""

import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from r2mae.data.appended_array import AppendedArray
from r2mae.data.space import check_space, size_text
from r2mae.errors import InputError
from r2mae.loaded_run import LoadedRun
from r2mae.progress import progress_bar

_LARGE = 1e9  # bytes; larger files are announced


class TokenFile:
    """Tokens of samples, written as they are computed.

    A .npy file is (N, T, K). A .npz file has `tokens` (all tokens, K) and `offsets`
    (N + 1,): those of sample i are tokens[offsets[i]:offsets[i + 1]].
    """

    def __init__(self, output: Path, values: AppendedArray) -> None:
        self.output = output
        self.values = values
        self.lengths: list[int] = []
        self.width = 0

    def append(self, tokens: Any, continues: bool) -> None:
        """Tokens (T, K) of the next sample, or of the next window of the last one."""
        self.values.append(tokens)
        length, self.width = tokens.shape
        if continues:
            self.lengths[-1] += length
        else:
            self.lengths.append(length)
        if self.output.suffix == ".npy" and self.lengths[-1] != self.lengths[0]:
            raise InputError(
                "--output must be a .npz file for samples with different numbers of "
                f"tokens, got {self.lengths[0]} and {self.lengths[-1]} tokens for "
                f"{self.output}."
            )

    def finish(self) -> None:
        """Write the shape of what was appended."""
        if self.output.suffix == ".npy":
            shape = (len(self.lengths), self.lengths[0], self.width)
            self.values.finish(shape)
        else:
            self.values.finish((sum(self.lengths), self.width))


@contextmanager
def open_token_file(output: Path, unfinished: Path) -> Iterator[TokenFile]:
    """A `TokenFile` that is complete in `unfinished`, to be renamed, after the block."""
    if output.suffix == ".npy":
        with AppendedArray(unfinished) as values:
            file = TokenFile(output, values)
            yield file
            file.finish()
        return
    # Members of a zip cannot be written piece by piece with their size ahead.
    spool = unfinished.with_name(f"{unfinished.name}.tokens")
    try:
        with AppendedArray(spool) as values:
            file = TokenFile(output, values)
            yield file
            file.finish()
        _write_npz(unfinished, spool, file.lengths)
    finally:
        spool.unlink(missing_ok=True)


def _write_npz(path: Path, tokens: Path, lengths: list[int]) -> None:
    """An uncompressed .npz of a .npy file of tokens, and offsets from lengths."""
    import numpy as np

    offsets = np.cumsum([0, *lengths], dtype=np.int64)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.write(tokens, "tokens.npy")
        with archive.open("offsets.npy", "w") as member:
            np.lib.format.write_array(member, offsets)


def append_tokens(
    loaded: LoadedRun, source: Any, file: TokenFile
) -> tuple[list[int], list[str]]:
    """(indices of the samples written, names of unreadable samples, which are left out).

    Windows of a long sample follow one another and count as one sample.

    Raises: InputError where the tokens do not fit on the disk.
    """
    from r2mae.data.source import root_of, rows_in_root
    from r2mae.evaluation.features import for_each_batch
    from r2mae.evaluation.read_encoder import read_encoder

    root, expected = root_of(source), rows_in_root(source).tolist()
    owners = getattr(root, "owners", None)
    model = read_encoder(loaded.model, loaded.read_out)
    written: list[int] = []
    unreadable: list[str] = []
    done = 0

    def write(batch: Any) -> None:
        nonlocal done
        tokens, is_token = model.embed_tokens(batch)
        if not done:
            num_bytes = is_token.sum().item() * tokens.shape[2] * 4
            _check_disk(file.output, num_bytes / len(tokens) * len(source))
        indices = batch["indices"].tolist()
        for row, own, index in zip(tokens, is_token, indices, strict=True):
            if index != expected[done]:  # a neighbour replaces an unreadable sample
                unreadable.append(root.name(expected[done]))
                done += 1
                continue
            done += 1
            continues = _is_same_sample(owners, written, index)
            file.append(row[own].float().cpu().numpy(), continues)
            if not continues:
                written.append(index)

    for_each_batch([model], source, write, progress=progress_bar("tokens"))
    return written, sorted(set(unreadable))


def _is_same_sample(owners: Any, written: list[int], index: int) -> bool:
    """Whether a window belongs to the sample that was written last."""
    return (
        owners is not None
        and bool(written)
        and bool(owners[index] == owners[written[-1]])
    )


def _check_disk(output: Path, num_bytes: float) -> None:
    """Announce a large file, and raise InputError where the disk has no room for it."""
    files = 2 if output.suffix == ".npz" else 1  # the tokens, then the archive
    if num_bytes > _LARGE:
        print(f"tokens need about {size_text(files * num_bytes)}", file=sys.stderr)
    remedy = "Embed fewer samples, or leave out --tokens."
    check_space(output, int(files * num_bytes), remedy)
