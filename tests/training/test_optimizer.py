import math

import pytest
import torch

from r2mae.recipe.assembly import build_model
from r2mae.recipe.load import load_recipe
from r2mae.training.optimizer import LearningRate, build_adamw, is_decayed
from tests.conftest import DEMO


def test_warm_up_then_cosine():
    rate = LearningRate(
        peak=2.0, num_steps=110, warmup_steps=10, decay="cosine", final_fraction=0.1
    )
    assert [rate.at(step) for step in (0, 4, 9)] == pytest.approx([0.2, 1.0, 2.0])
    assert rate.at(10) == 2.0
    assert rate.at(60) == pytest.approx(2.0 * (0.1 + 0.9 * 0.5))
    assert rate.at(35) == pytest.approx(
        2.0 * (0.1 + 0.9 * (1 + math.cos(math.pi / 4)) / 2)
    )
    assert rate.at(110) == pytest.approx(0.2)


def test_linear_and_constant():
    assert LearningRate(1.0, 100, decay="linear").at(25) == pytest.approx(0.75)
    assert LearningRate(1.0, 100, decay="constant").at(99) == 1.0


def test_matrices_decay_and_nothing_else():
    model = build_model(load_recipe(str(DEMO)))
    optimizer = build_adamw(model, weight_decay=0.3, betas=(0.9, 0.95), eps=1e-8)
    decays = {
        id(p): group["weight_decay"]
        for group in optimizer.param_groups
        for p in group["params"]
    }
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            assert id(parameter) not in decays, name
            continue
        expected = 0.3 if name.endswith("weight") and "norm" not in name else 0.0
        assert decays[id(parameter)] == expected, name
    assert len(decays) == sum(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "shape", "decayed"),
    [
        ("encoder.blocks.0.mlp.fc1.weight", (4, 4), True),
        ("encoder.patch_embed.proj.weight", (4, 1, 2, 2), True),
        ("encoder.cls_token", (1, 1, 4), False),
        ("mask_token", (1, 1, 4), False),
        ("encoder.pos_embed", (1, 5, 4), False),
        ("decoder_norm.weight", (4,), False),
    ],
)
def test_what_decays(name, shape, decayed):
    assert is_decayed(name, torch.nn.Parameter(torch.zeros(shape))) == decayed


def test_layers_far_from_the_head_learn_more_slowly():
    model = torch.nn.ModuleDict(
        {
            "stem": torch.nn.Linear(2, 2),
            "block": torch.nn.Linear(2, 2),
            "head": torch.nn.Linear(2, 2),
        }
    )
    model.layers = lambda: {
        f"{part}.{kind}": depth
        for depth, part in enumerate(("stem", "block"))
        for kind in ("weight", "bias")
    }
    optimizer = build_adamw(
        model, weight_decay=0.3, betas=(0.9, 0.95), eps=1e-8, layer_decay=0.5
    )
    scales = {
        id(p): (group["lr_scale"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    found = {
        name: scales[id(parameter)] for name, parameter in model.named_parameters()
    }
    assert found == {
        "stem.weight": (0.25, 0.3), "stem.bias": (0.25, 0.0),
        "block.weight": (0.5, 0.3), "block.bias": (0.5, 0.0),
        "head.weight": (1.0, 0.3), "head.bias": (1.0, 0.0),
    }  # fmt: skip
