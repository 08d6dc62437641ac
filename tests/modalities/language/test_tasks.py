"""Tables of the evaluation tasks of texts."""

from r2mae.modalities.language.tasks import show_scores


def test_perplexity_stands_beside_the_loss_that_it_is_of(capsys):
    row = {"ratio": 0.15, "tokens": 1138, "accuracy": 0.207, "half_width": 0.06}
    row |= {"loss": 4.648, "perplexity": 104.4}
    row |= {"unigram_accuracy": 0.151, "unigram_loss": 5.13}
    show_scores({"scores": [row]})
    head, line = capsys.readouterr().out.splitlines()
    ends = {text: head.index(text) + len(text) for text in ("loss", "perplexity")}
    assert line[: ends["loss"]].endswith("4.648")
    assert line[: ends["perplexity"]].endswith("104.4")
    assert ends["perplexity"] < head.index("unigram baseline")
    assert line.split()[-2:] == ["0.151", "5.130"]
