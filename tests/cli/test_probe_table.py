"""A line for each number of labels and task, with intervals where there are any."""

from r2mae.cli.probe_table import print_scores

BALANCED = {"balanced_accuracy": 0.85, "macro_f1": 0.75, "draws": 1}
SCORES = {
    "pretrained": {"knn": {"accuracy": 0.9, "half_width": 0.02} | BALANCED},
    "PCA-50": {"knn": {"accuracy": 0.8, "half_width": 0.03} | BALANCED},
}
DIFFERENCES = {"minus PCA-50": {"knn": {"difference": 0.1, "half_width": 0.01}}}


def row(count):
    return {
        "labels_per_class": count,
        "hidden": 0.25,
        "scores": SCORES,
        "differences": DIFFERENCES,
    }


def test_a_table_has_aligned_columns_and_signed_differences(capsys):
    print_scores([row(5), row("all")])
    printed = capsys.readouterr().out.splitlines()
    head, lines = printed[1], printed[2:4]
    assert printed[4] == "balanced accuracy / macro F1"
    assert all("0.850 / 0.750" in line for line in printed[6:])
    for line, count in zip(lines, ("5", "all"), strict=True):
        assert line.startswith(count)
        assert line[head.index("pretrained") :].startswith("0.900 ± 0.020")
        assert line[head.index("PCA-50") :].startswith("0.800 ± 0.030")
        assert line[head.index("minus") :].startswith("+0.100 ± 0.010")
