"""Names of measurements."""

from r2mae.evaluation.probe_input import ProbeInput
from r2mae.schema.study import MeasureSection
from r2mae.studies.measurement import kind_of, measurement_names, probe_name


def test_hidden_shares_of_the_same_percentage_are_kept_apart():
    names = {
        probe_name("knn", "all", ProbeInput(share)) for share in (0.12, 0.125, 0.29)
    }
    ends = {name.removeprefix("knn, all labels, ") for name in names}
    assert ends == {"12% hidden", "12.5% hidden", "29% hidden"}


def test_names_tell_kinds_apart():
    document = {
        "ratios": (0.25,),
        "probes": ("knn", "attentive_probe"),
        "hidden": (0.0, 0.5),
        "hide_in_training": True,
        "tasks": {"imputation": {"task": "imputation", "value": "rows.0"}},
        "finetune": {"recipe": "digits_finetune", "labels_per_class": (5, "all")},
    }
    kinds = {}
    for name in measurement_names(MeasureSection.model_validate(document)):
        kinds.setdefault(kind_of(name), set()).add(name)
    assert kinds == {
        "held-out loss": {"held-out loss at 0.25"},
        "probes": {"knn, all labels", "attentive_probe, all labels"},
        "probes, input partly hidden": {
            "knn, all labels, 50% hidden",
            "attentive_probe, all labels, 50% hidden",
        },
        "probes, input partly hidden, also in training": {
            "knn, all labels, 50% hidden, also in training",
            "attentive_probe, all labels, 50% hidden, also in training",
        },
        "imputation": {"imputation"},
        "fine-tuned": {"fine-tuned, 5 labels per class", "fine-tuned, all labels"},
    }
