"""The wing through the commands: training, continuation, read-outs and messages."""

import json

import numpy as np
import pytest
import torch

from r2mae.cli.main import main
from r2mae.masking.mask import build_mask
from r2mae.modalities.algebra import readout
from r2mae.modalities.algebra.stages import find_stages
from r2mae.recipe.run import load_run

RECIPE = """\
task: pretrain
modality: algebra
data: {{group: {group}, train_share: 0.9, held_out: 0.1}}
mask: {{ratio: {{uniform: {{low: 0.2, high: 0.8}}}}, slots: {slots}}}
model: {{encoder: {encoder}, width: 16, heads: 2, curve_points: 4}}
batch: {{global_samples: 16}}
optimizer: {{lr: 1.0e-2, weight_decay: 1.0}}
schedule: {{steps: 8, warmup_steps: 2}}
hardware: {{accelerator: cpu}}
"""


def write(path, group="Z7", slots="product", encoder="two_layer"):
    path.write_text(RECIPE.format(group=group, slots=slots, encoder=encoder))
    return str(path)


@pytest.fixture
def train(scratch):
    def run(*settings, name="run", **about):
        recipe = write(scratch / "recipe.yaml", **about)
        options = [part for one in settings for part in ("--set", one)]
        assert main(["pretrain", recipe, "--name", name, *options]) == 0
        return f"runs/{name}"

    return run


def evaluate(capsys, run, task, *options):
    capsys.readouterr()
    assert main(["evaluate", run, "--task", task, "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


CASES = [
    ("Z7", "product", "two_layer"),
    ("S3", "any", "two_layer"),
    ("D4", "product", "transformer"),
    ("Q8", "any", "transformer"),
]


@pytest.mark.parametrize(("group", "slots", "encoder"), CASES)
def test_hidden_slots_change_no_prediction(train, group, slots, encoder):
    run = load_run(train(group=group, slots=slots, encoder=encoder))
    generator = torch.Generator().manual_seed(0)
    triples = torch.randint(6, (20, 3), generator=generator)
    hidden = torch.zeros(20, 3, dtype=torch.bool)
    hidden[:, 2] = True
    if slots == "any":
        hidden = torch.rand(20, 3, generator=generator).argsort(dim=1) == 0
    other = torch.where(hidden, (triples + 1) % 6, triples)
    mask = build_mask(hidden)
    with torch.no_grad():
        first = run.model({"triples": triples}, mask).predictions
        second = run.model({"triples": other}, mask).predictions
    assert torch.equal(first, second)
    features = run.model.embed({"triples": triples})
    triples[:, 2] = 0
    assert torch.equal(features, run.model.embed({"triples": triples}))


def test_loss_is_the_cross_entropy_of_the_masked_slots(train):
    run = load_run(train(group="S3", slots="any"))
    triples = torch.tensor([[0, 1, 1], [2, 3, 5]])
    hidden = torch.tensor([[True, False, False], [False, True, True]])
    with torch.no_grad():
        loss = run.model({"triples": triples}, build_mask(hidden)).loss
        logits = run.model.slot_logits(triples, hidden)
    expected = torch.nn.functional.cross_entropy(
        logits[hidden], triples[hidden], reduction="sum"
    )
    assert float(loss.total) == pytest.approx(float(expected))
    assert float(loss.count) == 3


def test_a_continued_run_ends_with_the_same_weights_and_curve(train, scratch):
    complete = load_run(train(name="complete")).model.state_dict()
    recipe = write(scratch / "short.yaml")
    checkpoint = ["--set", "checkpoint.every_steps=3"]

    import r2mae

    class Stop(r2mae.Callback):
        def on_step_end(self, engine, report):
            if report.step == 4:
                raise KeyboardInterrupt

    settings = {"checkpoint": {"every_steps": 3}}
    with pytest.raises(BaseException):  # noqa: B017
        r2mae.pretrain(recipe, name="two", callbacks=[Stop()], **settings)
    assert main(["pretrain", recipe, "--name", "two", *checkpoint]) == 0
    continued = load_run("runs/two").model.state_dict()
    assert "curve.values" in continued
    for name, tensor in complete.items():
        assert torch.equal(tensor, continued[name]), name


def test_the_curve_holds_what_the_last_point_measures(train):
    run = load_run(train())
    curve = run.model.curve
    assert curve.every_samples == 2 * 16
    assert (curve.values[:, 5] > 0).all()
    logits = readout.product_logits(run.model)
    products = curve.triples[:, 2].numpy()
    is_training = curve.is_training.numpy()
    assert is_training.sum() == 40  # 49 triples, 44 in the split, 4 held out
    hits = logits.argmax(axis=1) == products
    last = curve.measure(run.model)
    assert float(last[2]) == pytest.approx(hits[is_training].mean())
    assert float(last[3]) == pytest.approx(hits[~is_training].mean())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(curve.measure(run.model), last)


@pytest.mark.parametrize("slots", ["product", "any"])
def test_read_outs_print_and_draw(train, capsys, scratch, slots):
    run = train(group="Z7", slots=slots)
    drawn = ["--spectrum-picture", "a/b.png"]
    spectrum = evaluate(capsys, run, "spectrum", *drawn)
    assert (scratch / "a/b.png").stat().st_size > 1000
    assert sum(row["neurons"] for row in spectrum["components"]) == 16
    assert set(spectrum["alignment_angle"]) == (
        {"2"} if slots == "product" else {"0", "1", "2"}
    )
    stages = evaluate(capsys, run, "stages", "--stages-picture", "c.png")
    assert stages["curve"]["step"] == [0, 2, 4, 6, 8]
    vote = evaluate(capsys, run, "vote", "--vote-picture", "d.png")
    assert vote["scores"]["network"]["explained"] == 1
    tasks = "spectrum,stages,vote,lottery"
    assert main(["evaluate", run, "--task", tasks]) == 0
    assert "share of the winning component" in capsys.readouterr().out


def test_lottery_and_rates_of_a_cyclic_group(train, capsys):
    run = train()
    lottery = evaluate(capsys, run, "lottery", "--lottery-picture", "l.png")
    assert {"blow-up time", "projected gradient flow"} < set(lottery["scores"])
    rates = evaluate(capsys, run, "alignment_rates", "--rates-picture", "r.png")
    assert rates["ratio"] == pytest.approx(1, abs=0.02)
    assert rates["correlation"] > 0.999


def test_trained_network_of_one_component_a_neuron(train, capsys):
    """A small version of the demo: most of the energy moves to one frequency."""
    run = train(
        "schedule={steps: 300, warmup_steps: 10, decay: constant}",
        "batch.global_samples=40",
        "model.width=64",
    )
    spectrum = evaluate(capsys, run, "spectrum")
    before = readout.neurons_of(readout.initial_model(load_run(run)), "Z7")
    assert before.winning_shares.mean() < 0.6
    assert spectrum["mean_winning_share"] > 0.8
    assert spectrum["train_accuracy"] == 1
    assert spectrum["alignment_angle"]["2"] < 0.2  # of random phases: pi / 2


REFUSED = [
    ("vote", {"encoder": "transformer"}, [], "two-layer network, got model.encoder"),
    ("lottery", {}, ["model.activation=relu"], "quadratic activation"),
    ("alignment_rates", {"group": "S3"}, [], "cyclic group of odd order"),
    ("alignment_rates", {"group": "Z6"}, [], "cyclic group of odd order"),
]


@pytest.mark.parametrize(("task", "about", "settings", "message"), REFUSED)
def test_a_task_without_meaning_is_refused(
    train, capsys, task, about, settings, message
):
    run = train(*settings, **about)
    assert main(["evaluate", run, "--task", task]) == 2
    assert message in capsys.readouterr().err


def test_a_demo_without_meaning_is_refused_before_it_trains(scratch, capsys):
    recipe = write(scratch / "recipe.yaml", encoder="transformer")
    assert main(["demo", recipe]) == 2
    assert "must have a two-layer network" in capsys.readouterr().err
    assert not (scratch / "runs").exists()


def test_messages_of_recipes(scratch, capsys):
    for group, message in (("A5", "Z<n>, D<n>"), ("none.csv", "readable .csv")):
        recipe = write(scratch / "r.yaml", group=group)
        assert main(["check", recipe]) == 2
        assert message in capsys.readouterr().err


def test_check_describes_the_group(scratch, capsys):
    assert main(["check", write(scratch / "r.yaml", group="S4")]) == 0
    shown = capsys.readouterr().out
    assert "S4: 24 elements, not abelian, 576 triples" in shown
    assert "dimensions 1, 2, 3, 3" in shown


def test_masks_hide_the_product_alone_or_any_slot(scratch, capsys):
    for slots, expected in (("product", {(2,)}), ("any", {(0,), (1,), (2,)})):
        capsys.readouterr()
        recipe = write(scratch / "r.yaml", slots=slots)
        settings = ["--set", "mask.ratio={fixed: {ratio: 0.33}}"]
        options = ["--positions", "0:16", "--json", *settings]
        assert main(["mask", recipe, *options]) == 0
        samples = json.loads(capsys.readouterr().out)["steps"][0]["samples"]
        assert {tuple(sample["masked"]) for sample in samples} == expected


FINETUNE = """\
task: finetune
modality: algebra
data: {group: Z7, train_share: 0.9, held_out: 0.1}
model: {width: 16, init_from: runs/run}
batch: {global_samples: 8}
optimizer: {lr: 1.0e-2}
schedule: {steps: 4}
repeat: {seeds: 1, labels_per_class: [all]}
"""


def test_an_encoder_is_fine_tuned_to_name_the_product(train, scratch):
    train()
    (scratch / "finetune.yaml").write_text(FINETUNE)
    assert main(["finetune", "finetune.yaml"]) == 0
    assert main(["embed", "runs/run", "test", "-o", "f.npy"]) == 0
    assert np.load(scratch / "f.npy").shape == (5, 16)


def curve(train, test, share, norm):
    columns = {"train_accuracy": train, "test_accuracy": test}
    columns |= {"spectral_share": share, "weight_norm": norm}
    columns |= {"train_loss": [0.0] * 6, "test_loss": [0.0] * 6}
    return {"step": [0, 10, 20, 30, 40, 50]} | columns


def test_stages_of_a_curve_with_all_three():
    rows = find_stages(
        curve(
            [0.1, 1, 1, 1, 1, 1],
            [0.1, 0.2, 0.6, 1, 1, 1],
            [0.1, 0.2, 0.4, 0.6, 0.9, 0.9],
            [1, 9, 8, 7, 3, 3],
        )
    )
    assert [(r["stage"], r["start"], r["end"]) for r in rows] == [
        ("memorisation", 0, 10),
        ("generalisation", 10, 30),
        ("clean-up", 30, 40),
    ]
    assert all(row["finished"] for row in rows)


def test_stages_of_a_run_that_never_generalises():
    rows = find_stages(curve([0.1, 1, 1, 1, 1, 1], [0.1] * 6, [0.2] * 6, [1] * 6))
    assert [(r["stage"], r["finished"]) for r in rows] == [
        ("memorisation", True),
        ("generalisation", False),
    ]
