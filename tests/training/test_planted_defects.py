"""Defects of a training step that train without any error: each of these tests fails where one is planted.

    planted defect                                    test
    a step's mask ratio ignores the seed              test_ratios_follow_the_seed
    [MASK] or another token ignores the seed          test_replacement_follows_the_seed
    dropout has one seed for all steps                test_dropout_is_seeded_anew_at_every_micro_batch
    the previous step's learning rate is applied      test_every_step_applies_its_own_learning_rate
    clipping is switched off                          test_gradients_are_clipped
    mask_ratio is reported or logged as 1 - r         test_mask_ratio_is_the_hidden_share

Models that see hidden positions fail in tests/modalities/dna/models and tests/models/test_masked_language.py.
"""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from r2mae.law import MaskLaw, UniformRatio
from r2mae.masking.ratio import draw_ratios
from r2mae.masking.replacement import replace_hidden
from tests.training.runs import metric, prepare

CLIP_NORM = 1e-3  # below every gradient of the run
PER_STEP = 4  # micro-batches


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What six steps of four micro-batches, with warm-up, clipping and high mask ratios, did."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("run"))
        training, folder = prepare(
            "run",
            f"optimizer.clip_norm={CLIP_NORM}",
            "mask.ratio={uniform: {low: 0.6, high: 0.9}}",
            "batch.per_device_samples=4",
            "schedule.steps=6",
            "schedule.warmup_steps=2",
            "checkpoint.every_steps=6",
            "watch.every_steps=6",
            "log=[csv]",
        )
        done = _record(training.module)
        training.run()
        done.logged = metric(folder, "train/mask_ratio")
    return done


def _record(module):
    done = SimpleNamespace(seeds=[], rates=[], norms=[], reports=[], hidden=[])
    done.expected_rates = [module.settings.learning_rate.at(step) for step in range(6)]
    forward, update = module.training_step, module.optimizer_step
    finish_gradients = module.on_before_optimizer_step

    def keep_micro_batch(batch, *arguments):
        done.seeds.append(torch.initial_seed())
        done.hidden.append(float(batch["mask"].is_masked.float().mean()))
        return forward(batch, *arguments)

    def keep_gradients(optimizer):
        finish_gradients(optimizer)
        done.rates.append(optimizer.param_groups[0]["lr"])
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        done.norms.append(float(nn.utils.get_total_norm(gradients)))

    def keep_report(*arguments, **options):
        update(*arguments, **options)
        done.reports.append(module.report)

    module.training_step = keep_micro_batch
    module.on_before_optimizer_step = keep_gradients
    module.optimizer_step = keep_report
    return done


def test_dropout_is_seeded_anew_at_every_micro_batch(run):
    assert len(run.seeds) == len(set(run.seeds)) == 6 * PER_STEP


def test_every_step_applies_its_own_learning_rate(run):
    assert len(set(run.expected_rates)) == 4
    assert run.rates == pytest.approx(run.expected_rates, rel=1e-12)
    assert [report.lr for report in run.reports] == run.rates


def test_gradients_are_clipped(run):
    assert all(float(report.grad_norm) > 10 * CLIP_NORM for report in run.reports)
    assert run.norms == pytest.approx([CLIP_NORM] * 6, rel=1e-2)


def test_mask_ratio_is_the_hidden_share(run):
    shares = torch.tensor(run.hidden).view(6, PER_STEP).mean(dim=1).tolist()
    assert min(shares) > 0.55
    assert [report.mask_ratio for report in run.reports] == pytest.approx(shares)
    assert list(run.logged.values()) == pytest.approx(shares, rel=1e-4)


@pytest.mark.parametrize("scope", ["step", "sample"])
def test_ratios_follow_the_seed(scope):
    law = MaskLaw(UniformRatio(0.1, 0.9), scope=scope)

    def ratios(seed):
        positions = torch.arange(800).view(100, 8)
        rows = enumerate(positions)
        return torch.stack(
            [draw_ratios(law, seed, step, 0.0, row) for step, row in rows]
        )

    assert torch.equal(ratios(0), ratios(0))
    assert (ratios(0) != ratios(1)).float().mean() > 0.7  # 7 of 8 levels differ


@pytest.mark.parametrize(
    ("shares", "what"),
    [((0.5, 0.0), "[MASK] or the token itself"), ((0.0, 1.0), "which other token")],
)
def test_replacement_follows_the_seed(shares, what):
    tokens, is_masked = torch.zeros(4, 64).long(), torch.ones(4, 64).bool()
    others, positions = torch.arange(10, 200), torch.arange(4)

    def replaced(seed):
        return replace_hidden(tokens, is_masked, 5, others, shares, seed, positions)

    assert torch.equal(replaced(0), replaced(0))
    assert (replaced(0) != replaced(1)).float().mean() > 0.4, what
