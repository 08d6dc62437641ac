"""A line for each number of labels and task, with intervals where there are any."""

from argparse import ArgumentParser

from r2mae.cli.evaluate import _plain, add_run_arguments, print_scores

SCORES = {
    "pretrained": {"knn": {"accuracy": 0.9, "half_width": 0.02, "over": "test items"}},
    "PCA-50": {"knn": {"accuracy": 0.8, "half_width": None, "over": "test items"}},
}
DIFFERENCES = {"minus PCA-50": {"knn": {"difference": 0.1, "half_width": 0.01}}}


def row(count):
    return {"labels_per_class": count, "scores": SCORES, "differences": DIFFERENCES}


def test_a_table_has_aligned_columns_and_signed_differences(capsys):
    print_scores([row(5), row("all")])
    _, head, *lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for line, count in zip(lines, ("5", "all"), strict=True):
        assert line.startswith(count)
        assert line[head.index("pretrained") :].startswith("0.900 ± 0.020")
        assert line[head.index("PCA-50") :].startswith("0.800  ")
        assert line[head.index("minus") :].startswith("+0.100 ± 0.010")


def test_json_of_one_row_is_not_nested():
    one = _plain([row(5)], "knn")
    assert one["scores"]["pretrained"]["accuracy"] == 0.9
    assert one["labels_per_class"] == 5
    two = _plain([row(5), row("all")], "knn")
    assert two["labels_per_class"] == [5, "all"]
    assert [part["labels_per_class"] for part in two["rows"]] == [5, "all"]


def test_help_without_a_run_asks_for_one(capsys):
    parser = ArgumentParser()
    add_run_arguments(parser, [])
    assert "name a RUN to see the tasks of its modality" in " ".join(
        parser.format_help().split()
    )
