import copy
import math
import random
from pathlib import Path

import pytest

from r2mae.errors import InputError
from r2mae.modalities import find_wing
from r2mae.recipe.load import load_recipe, parse_recipe
from r2mae.schema.document import apply_overrides, load_document, write_document
from r2mae.schema.recipe import recipe_document

DEMO = Path(__file__).resolve().parents[2] / "recipes/vision/digits_demo.yaml"


BASE = {
    "task": "pretrain",
    "modality": "vision",
    "data": {"card": "digits", "image_size": 8, "channels": 1, "augment": None},
    "mask": {"ratio": {"uniform": {"low": 0.6, "high": 0.9}}},
    "model": {
        "encoder": "vit_tiny_patch16_224",
        "decoder_width": 64,
        "decoder_heads": 4,
    },
    "batch": {"global_samples": 256},
    "optimizer": {"lr_per_256_samples": 1e-3, "betas": [0.9, 0.95]},
    "schedule": {"steps": 300, "warmup_steps": 30},
}

BAD = [
    (["task=predict"], ["task must be", '"predict"']),
    (["modality=visoin"], ["modality must be one of vision", '"visoin"', "Did you mean vision?"]),
    (["modality=null"], ["modality must be one of vision", "null", "Known: vision, cell, language, dna, algebra."]),
    (["modality=[vision]"], ["modality must be one of vision"]),
    (["seed=-1"], ["seed must be at least 0, got -1."]),
    (["seed=99999999999999999999"], ["seed must be at most 2147483647, got 99999999999999999999."]),
    (["seed=1e3"], ["seed must be a whole number, got 1000.0."]),
    (["seed=1e400"], ["seed must be a whole number, got inf."]),
    (["sed=1"], ["sed must be a key of the document. Did you mean seed?"]),
    (["batch=256"], ["batch must be a section of keys, got 256."]),
    (["batch={}"], ["batch.global_samples must be given, got nothing."]),
    (["batch.global=256"], ["batch.global must be a key of batch. Did you mean global_samples?"]),
    (["batch.global_samples=0"], ["batch.global_samples must be at least 1, got 0."]),
    (["batch.per_device_samples=7"], ["divisible by 1 devices * batch.per_device_samples = 7, got 256. Nearest: 259."]),
    (["hardware.devices=6"], ["hardware.nodes * hardware.devices = 6, got 256. Nearest: 258."]),
    (["hardware.devices=512"], ["= 512, got 256. Nearest: 512."]),
    (["hardware.nodes=2", "hardware.devices=2", "batch.per_device_samples=48"], ["= 192, got 256."]),
    (["hardware.devices=4", "batch.per_device_samples=128"], ["4 devices", "= 512, got 256. Nearest: 512."]),
    (["optimizer.lr=1e-3"], ["optimizer must set exactly one of", "got lr and lr_per_256_samples."]),
    (["optimizer.lr_per_256_samples=null"], ["optimizer must set exactly one of lr, lr_per_256_samples, got none."]),
    (["optimizer.lr_per_256_samples=0"], ["optimizer.lr_per_256_samples must be greater than 0.0, got 0."]),
    (["optimizer.lr_per_256_samples=1e400"], ["optimizer.lr_per_256_samples must be finite, got inf."]),
    (["optimizer.weight_decay=-0.1"], ["optimizer.weight_decay must be at least 0.0, got -0.1."]),
    (["optimizer.betas=[0.9, 1]"], ["optimizer.betas must be in [0, 1), got [0.9, 1.0]."]),
    (["optimizer.betas=0.9"], ["optimizer.betas must be a list, got 0.9."]),
    (["optimizer.betas=[0.9, 0.95, 0.99]"], ["optimizer.betas", "[0.9, 0.95, 0.99]"]),
    (["schedule.epochs=5"], ["schedule must set exactly one of epochs, steps, samples, tokens, got epochs and steps."]),
    (["schedule.tokens=5", "schedule.samples=5"], ["got steps and samples and tokens."]),
    (["schedule.steps=null"], ["schedule must set exactly one of epochs, steps, samples, tokens, got none."]),
    (["schedule.warmup_epochs=1"], ["schedule must set at most one of warmup_epochs, warmup_steps, got both."]),
    (["schedule.decay=cosin"], ["schedule.decay must be 'cosine'", '"cosin". Did you mean cosine?']),
    (["schedule.final_lr_fraction=10"], ["schedule.final_lr_fraction must be at most", "got 10.", "0.10?"]),
    (["mask.ratio.uniform.high=90"], ["mask.ratio.uniform.high must be in (low, 1", "got 90. Ratios", "0.90?"]),
    (["mask.ratio.uniform.low=0.95"], ["mask.ratio.uniform.high must be in (low, 1", "got 0.9."]),
    (["mask.ratio.uniform.hi=0.9"], ["mask.ratio.uniform.hi must be a key of mask.ratio.uniform. Did you mean high?"]),
    (["mask.levels=many"], ['mask.levels must be a whole number, got "many".']),
    (["data.held_out=5"], ["data.held_out must be less than 1.0, got 5. Ratios are fractions; did you mean 0.05?"]),
    (["data.augment={crop_scale: [0.9, 0.2]}"], ["data.augment.crop_scale must satisfy 0 <", "got [0.9, 0.2]."]),
    (["model.decoder_heads=5"], ["model.decoder_width must be divisible by 4 and by decoder_heads = 5, got 64."]),
    (["hardware.precision=bf16"], ["hardware.precision must be '32-true' or 'bf16-mixed', got \"bf16\"."]),
    (["hardware.compile=1"], ["hardware.compile must be true or false, got 1."]),
    (["watch.ratios=[0.5, 75]"], ["watch.ratios must be in (0, 1), got [0.5, 75.0]. Ratios are fractions."]),
    (["watch.ratios=[]"], ["watch.ratios must hold at least 1 items, got []."]),
    (["watch.samples=7"], ["watch.samples must be at least 8, got 7."]),
    (["log=csv"], ['log must be a list, got "csv".']),
    (["log=[csv, wandbb]"], ["log.1 must be 'csv', 'tensorboard', 'wandb' or", "Did you mean wandb?"]),
]  # fmt: skip


@pytest.mark.parametrize(("overrides", "words"), BAD)
def test_bad_recipes(overrides, words):
    with pytest.raises(InputError) as caught:
        parse_recipe(apply_overrides(BASE, overrides), "recipe.yaml")
    message = str(caught.value)
    assert message.startswith("recipe.yaml: ")
    assert len(message.splitlines()) == 1
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    "key",
    ["task", "modality", "data", "mask", "model", "batch", "optimizer", "schedule"],
)
def test_missing_sections(key):
    document = {name: value for name, value in BASE.items() if name != key}
    with pytest.raises(InputError, match=f"R: {key} must be"):
        parse_recipe(document, "R")


def test_demo_recipe_is_read_as_written():
    document = load_document(DEMO)
    recipe = load_recipe(str(DEMO), ["seed=7"])
    assert recipe.seed == 7
    assert recipe.batch.global_samples == document["batch"]["global_samples"]
    assert recipe.model.encoder == document["model"]["encoder"]


def test_a_bad_recipe_file_is_named():
    with pytest.raises(InputError) as caught:
        load_recipe(str(DEMO), ["mask.ratio={fixed: {ratio: 75}}"])
    assert str(caught.value).startswith(
        f"{DEMO}: mask.ratio.fixed.ratio must be in (0, 1), got 75."
    )


@pytest.mark.parametrize(
    ("overrides", "per_device", "accumulation", "lr"),
    [
        (["batch.per_device_samples=64"], 64, 4, 1e-3),
        (["hardware.devices=4"], 64, 1, 1e-3),
        (
            ["hardware.devices=2", "hardware.nodes=2", "batch.per_device_samples=16"],
            16,
            4,
            1e-3,
        ),
        (["batch.global_samples=512"], 512, 1, 2e-3),
        (["batch.global_samples=512", "optimizer={lr: 3e-4}"], 512, 1, 3e-4),
    ],
)
def test_derived_values(overrides, per_device, accumulation, lr):
    recipe = parse_recipe(apply_overrides(BASE, overrides), "R")
    assert (recipe.per_device_samples, recipe.accumulation) == (
        per_device,
        accumulation,
    )
    assert math.isclose(recipe.peak_lr, lr)


UNIFORM, FIXED = "{uniform: {low: 0.1, high: 0.3}}", "{fixed: {ratio: 0.15}}"
VARIANTS = [
    [],
    [f"mask.ratio={FIXED}"],
    ["mask.ratio={beta: {a: 0.5, b: 1e2, low: 0.1}}"],
    ["mask.ratio={truncated_normal: {mean: 0.55, sd: 0.25, low: 0.5, high: 1}}"],
    [
        f"mask.ratio={{mixture: {{components: [{FIXED}, {UNIFORM}], weights: [0.3, 0.7]}}}}"
    ],
    [f"mask.schedule={{linear: {{to: {UNIFORM}}}}}", "mask.scope=sample"],
    [
        f"mask.schedule={{cosine: {{to: {FIXED}, start: 1e-3, end: 0.5}}}}",
        "mask.pattern=block",
    ],
    [f"mask.schedule={{stepwise: {{at: [0.25, 0.5], to: [{UNIFORM}, {FIXED}]}}}}"],
    [
        "data.root='1e5'",
        "data.augment={crop_scale: [1e-2, 1]}",
        "optimizer={lr: 1e-12}",
        "schedule={epochs: 0.5}",
    ],
    [
        "log=[csv, wandb]",
        "hardware={nodes: 2, devices: 4, precision: bf16-mixed}",
        "watch.ratios=[1e-5]",
    ],
]


@pytest.mark.parametrize("overrides", VARIANTS)
def test_resolved_recipe_round_trips(tmp_path, overrides):
    recipe = parse_recipe(apply_overrides(BASE, overrides), "R")
    document = recipe_document(recipe)
    assert parse_recipe(document, "R") == recipe
    path = tmp_path / "recipe.yaml"
    path.write_text(write_document(document), encoding="utf-8")
    assert load_document(path) == document
    assert recipe_document(load_recipe(str(path))) == document


def test_resolved_recipe_names_every_key():
    document = recipe_document(parse_recipe(BASE, "R"))
    assert set(document) == set(find_wing("vision").pretrain_recipe.model_fields)
    assert document["checkpoint"] == {"every_steps": None}
    assert document["data"]["cache_mib"] == 256


JUNK = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2.5,
    75,
    1e300,
    -1e300,
    math.inf,
    -math.inf,
    math.nan,
    10**39,
    -(10**39),
    "",
    "x",
]
JUNK += [
    "1",
    "é\n\u2028",
    "\x00",
    "x" * 5000,
    [],
    [[]],
    [1, 2, 3],
    ["x"],
    {},
    {"": 1},
    {"uniform": {}},
    {"x": {"y": 1}},
]
JUNK += [
    {"fixed": {"ratio": 50}},
    {"linear": {"to": None}},
    [{"fixed": {}}] * 20,
    {"stepwise": {"at": [2], "to": [3]}},
]


def mutated(document, rng):
    document = copy.deepcopy(document)
    places = [(document, key) for key in document]
    for holder, key in places:  # grows while it is walked
        value = holder[key]
        if isinstance(value, dict):
            places += [(value, inner) for inner in value]
        elif isinstance(value, list):
            places += [(value, inner) for inner in range(len(value))]
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        holder, key = rng.choice(places)
        change = rng.randrange(6)
        junk = copy.deepcopy(rng.choice(JUNK))
        if isinstance(holder, dict) and change == 0:
            holder.pop(key, None)
        elif isinstance(holder, dict) and change == 1:
            holder[rng.choice([f"{key}s", f" {key}", key[1:], "x\ny", "", "0"])] = junk
        elif isinstance(holder, dict) and change == 2 and key in holder:
            holder[key] = {key: holder[key]}
        elif isinstance(holder, list) and change < 3:
            holder.append(junk)
        else:
            holder[key] = junk
    return document


def test_mutated_recipes_give_a_recipe_or_one_line():
    demo = load_document(DEMO)
    rng = random.Random(20_240)
    resolved = recipe_document(parse_recipe(demo, "R"))
    schedules = [
        "{linear: {to: {beta: {a: 2, b: 3}}}}",
        "{stepwise: {at: [0.5], to: [{fixed: {ratio: 0.5}}]}}",
    ]
    mixture = "mask.ratio={mixture: {components: [{fixed: {ratio: 0.5}}, {beta: {a: 1, b: 2}}], weights: [0.5, 0.5]}}"
    starts = [
        demo,
        resolved,
        *(
            apply_overrides(resolved, [mixture, f"mask.schedule={item}"])
            for item in schedules
        ),
    ]
    refused = 0
    for turn in range(1200):
        document = mutated(starts[turn % len(starts)], rng)
        try:
            recipe = parse_recipe(document, "R")
        except InputError as error:
            refused += 1
            message = str(error)
            assert message.startswith("R: "), document
            assert len(message.splitlines()) == 1, document
            assert len(message) < 600, message
        else:
            assert parse_recipe(recipe_document(recipe), "R") == recipe
    assert 600 < refused < 1200


def test_stratified_micro_batches_hold_whole_groups():
    stratified = ["mask.scope=stratified", "mask.levels=8"]
    changes = [*stratified, "batch={global_samples: 96, per_device_samples: 12}"]
    with pytest.raises(InputError, match="multiple of mask.levels = 8") as caught:
        parse_recipe(apply_overrides(BASE, changes), "R")
    assert "mask.levels may be 2, 3, 4, 6, 12." in str(caught.value)
    recipe = parse_recipe(apply_overrides(BASE, [*changes, "mask.levels=4"]), "R")
    assert recipe.mask.law.scope == "stratified"
