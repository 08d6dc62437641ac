import pytest

from r2mae.errors import InputError, InterruptedRun, did_you_mean

MANY = [f"word{number}" for number in range(100)]


@pytest.mark.parametrize(
    ("word", "known", "remedy"),
    [
        ("levles", ["levels", "scope", "pattern"], "Did you mean levels?"),
        ("digit", ["cifar10", "digits"], "Did you mean digits?"),
        (
            "lr_per_256",
            ["lr", "lr_per_256_samples", "eps"],
            "Did you mean lr_per_256_samples?",
        ),
        ("steps_", ["steps", "step"], "Did you mean steps or step?"),
        ("zzz", ["levels", "scope"], "Known: levels, scope."),
        ("", ["levels"], "Known: levels."),
        ("zzz", [], ""),
        ("zzz", MANY, ""),
        ("word7x", MANY[:9], "Did you mean word7 or word8 or word6?"),
        ("3", [1, 2], "Known: 1, 2."),
    ],
)
def test_nearest_known_word(word, known, remedy):
    assert did_you_mean(word, known) == remedy


def test_nearest_word_among_many():
    assert did_you_mean("wrod7", MANY).startswith("Did you mean word7")


@pytest.mark.parametrize(
    "message",
    ["a\nb", "a\r\nb", "a\n\n  b\n", "a\u2028b", "a\x85b", "a\x0bb", "a\tb", " a  b "],
)
def test_input_error_is_one_line(message):
    assert str(InputError(message)) == "a b"


def test_interrupted_run_carries_signal_and_step():
    error = InterruptedRun(15, 120)
    assert (error.signal_number, error.step) == (15, 120)
    assert not isinstance(error, InputError)
