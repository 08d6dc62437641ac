import numpy as np
import pytest
import torch

from r2mae.modalities.vision.mixing import mix_pairs
from r2mae.modalities.vision.schema import TuningAugmentSection

SIZE = 16


def black_and_white(num):
    """Even positions are black, odd ones white: a mixed pixel shows its share."""
    images = torch.zeros(num, 1, SIZE, SIZE, dtype=torch.uint8)
    images[1::2] = 255
    return images


def mix(positions, seed=0, **alphas):
    return mix_pairs(
        black_and_white(len(positions)), positions, seed, TuningAugmentSection(**alphas)
    )


def test_mixup_blends_and_its_share_is_what_is_left():
    mixed, share = mix(torch.arange(400), mixup=0.8)
    white = mixed.float().mean(dim=(1, 2, 3)) / 255
    torch.testing.assert_close(white[0::2], 1 - share[0::2], atol=3e-3, rtol=0)
    torch.testing.assert_close(white[1::2], share[1::2], atol=3e-3, rtol=0)
    assert (mixed.amax(dim=(1, 2, 3)) == mixed.amin(dim=(1, 2, 3))).all()


def test_cutmix_pastes_one_box_and_counts_its_pixels():
    mixed, share = mix(torch.arange(400), cutmix=1.0)
    assert set(mixed.unique().tolist()) == {0, 255}
    own = torch.where(
        torch.arange(400)[:, None, None, None] % 2 == 0, mixed == 0, mixed == 255
    )
    torch.testing.assert_close(own.float().mean(dim=(1, 2, 3)), share)
    for image in (~own[:40, 0]).numpy():  # what is foreign is a rectangle
        rows, columns = (
            np.flatnonzero(image.any(axis=1)),
            np.flatnonzero(image.any(axis=0)),
        )
        assert image.sum() == len(rows) * len(columns)


def test_partners_share_one_draw_and_pairs_differ():
    _, share = mix(torch.arange(400), mixup=0.8, cutmix=1.0)
    assert torch.equal(share[0::2], share[1::2])
    assert len(share[0::2].unique()) > 100


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_follow_beta(alpha):
    _, share = mix(torch.arange(8000), mixup=alpha)
    drawn = share[0::2].double()
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(drawn.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_each_kind_has_its_own_alpha():
    """A tiny alpha leaves shares near 0 or 1, a large one near a half."""
    mixed, share = mix(torch.arange(4000), mixup=0.01, cutmix=100.0)
    blended = mixed.amax(dim=(1, 2, 3)) == mixed.amin(dim=(1, 2, 3))
    assert float(blended.float().mean()) == pytest.approx(0.5, abs=0.04)
    extreme = (share < 0.1) | (share > 0.9)
    assert float(extreme[blended].float().mean()) > 0.9


def test_half_of_the_pairs_are_cut():
    mixed, _ = mix(torch.arange(4000), mixup=1.0, cutmix=1.0)
    blended = mixed.amax(dim=(1, 2, 3)) == mixed.amin(dim=(1, 2, 3))
    assert float(blended.float().mean()) == pytest.approx(0.5, abs=0.04)


def test_a_function_of_seed_and_position_alone():
    whole, share = mix(torch.arange(64), mixup=0.8, cutmix=1.0)
    part, part_share = mix(torch.arange(32, 40), mixup=0.8, cutmix=1.0)
    assert torch.equal(whole[32:40], part)
    assert torch.equal(share[32:40], part_share)
    assert not torch.equal(
        share, mix(torch.arange(64), seed=1, mixup=0.8, cutmix=1.0)[1]
    )
