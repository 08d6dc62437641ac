"""Texts of a file that a user names."""

import pytest

from r2mae.errors import InputError
from r2mae.modalities.language.sentences import Reading, open_given_sentences


def test_a_folder_of_texts_is_refused_with_what_to_name_instead(scratch):
    for name in ("a.txt", "b.txt"):
        (scratch / name).write_text("A text.\n")
    with pytest.raises(
        InputError, match=r"got 2 in \..* Name a \.txt with a text a li"
    ):
        open_given_sentences(None, ".", Reading())
