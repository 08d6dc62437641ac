import pytest
from transformers.utils import logging

from r2mae.interop.quiet import quiet_transformers


@pytest.fixture(autouse=True)
def _restored():
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    yield
    logging.set_verbosity(verbosity)
    (logging.enable_progress_bar if bars else logging.disable_progress_bar)()


def fail_within():
    with quiet_transformers():
        assert logging.get_verbosity() == logging.ERROR
        assert not logging.is_progress_bar_enabled()
        raise ZeroDivisionError


@pytest.mark.parametrize("bars", [True, False])
def test_what_was_set_before_comes_back_after_an_error(bars):
    logging.set_verbosity_info()
    (logging.enable_progress_bar if bars else logging.disable_progress_bar)()
    with pytest.raises(ZeroDivisionError):
        fail_within()
    assert logging.get_verbosity() == logging.INFO
    assert logging.is_progress_bar_enabled() == bars
