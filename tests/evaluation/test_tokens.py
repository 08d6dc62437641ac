"""Tokens of encoders in memory."""

import os

import numpy as np
import pytest

from r2mae.errors import InputError
from r2mae.evaluation.tokens import extract_tokens
from tests.evaluation.marked_tokens import Tokens, sources


def test_tokens_that_do_not_fit_into_memory_are_refused(monkeypatch):
    train, _ = sources()
    pages = {"SC_PHYS_PAGES": 10, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    with pytest.raises(
        InputError, match="must fit into 1/2 of the memory, 20.5kB"
    ) as caught:
        extract_tokens(Tokens(), train)
    error = str(caught.value)
    assert error.startswith("tokens of 120 training samples for attentive_probe must")
    assert error.endswith("Use fewer labels per class.")
    assert len(extract_tokens(Tokens(), train, np.arange(50)).tokens) == 50
