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
    with pytest.raises(InputError, match="must fit into half of the memory") as caught:
        extract_tokens(Tokens(), train)
    assert "for 120 training samples. Use fewer labels per class." in str(caught.value)
    assert len(extract_tokens(Tokens(), train, np.arange(50)).tokens) == 50
