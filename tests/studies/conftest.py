"""Studies in tests do not wait for the theory, which takes half a minute."""

import pytest

from r2mae.studies import theory_card
from tests.studies.small import predict_at_once


@pytest.fixture(autouse=True)
def _theory_at_once(monkeypatch):
    monkeypatch.setattr(theory_card, "predict_laws", predict_at_once)
