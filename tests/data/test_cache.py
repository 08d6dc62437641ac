"""The cache: what is damaged in it is made again, by one process."""

import pytest

from r2mae.data.cache import open_cached
from r2mae.data.tokenizer import tokenizer_files, with_files
from r2mae.data.tokenizer_training import byte_tokenizer
from r2mae.errors import InputError


def test_a_store_is_built_where_it_is_absent_or_damaged(tmp_path):
    place, builds = tmp_path / "deep" / "store", []

    def open_store(path):
        if (path / "file").read_text() != "complete":
            raise InputError("damaged")
        return path

    def build():
        builds.append(place)
        place.mkdir()
        (place / "file").write_text("complete")
        return open_store(place)

    for _ in range(2):
        assert open_cached(place, open_store, build) == place
    assert len(builds) == 1
    (place / "file").write_text("half")
    assert open_cached(place, open_store, build) == place
    assert len(builds) == 2


@pytest.mark.parametrize("damage", ["truncated", "deleted"])
def test_the_tokenizer_of_a_checkpoint_is_written_again(tmp_path, damage):
    files = tokenizer_files(byte_tokenizer())
    place = with_files(files, tmp_path)
    changed = place / "tokenizer.json"
    if damage == "truncated":
        changed.write_text(changed.read_text()[:100])
    else:
        changed.unlink()
    assert with_files(files, tmp_path) == place
    assert changed.read_text() == files["tokenizer.json"]
    assert [path.name for path in tmp_path.iterdir()] == [place.name]
