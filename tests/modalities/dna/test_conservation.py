"""Loss weights and replaced labels, by hand; replaced tokens as functions of the position."""

import numpy as np
import torch

from r2mae.masking.replacement import replace_hidden
from r2mae.modalities.dna.conservation import Conservation, smoothed

PUBLISHED = Conservation(0.1, True, 0.1, 7, 0.1, 0.5)
NAN = float("nan")


def test_smoothing_takes_the_greatest_of_seven():
    track = torch.tensor([[0.0, 0, 0, 0, 0.9, 0, 0, 0, 0, NAN]])
    wanted = [0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0, 0]
    assert torch.equal(smoothed(track, 7), torch.tensor([wanted]))
    assert torch.equal(smoothed(track, 1), track.nan_to_num(0))


def test_published_weights_by_hand():
    """repeat * max(phyloP, 1) * (0.1 + phastCons, the greatest of 7)."""
    is_repeat = torch.tensor([[False, True, False, True, False]])
    phylop = torch.tensor([[-3.0, 4.0, 2.5, 0.2, NAN]])
    phastcons = torch.tensor([[0.0, 0.5, 0.2, NAN, 0.0]])
    found = PUBLISHED.weights(is_repeat, phylop, phastcons)
    # All five lie within three of the 0.5.
    wanted = [1 * 1 * 0.6, 0.1 * 4 * 0.6, 1 * 2.5 * 0.6, 0.1 * 1 * 0.6, 1 * 1 * 0.6]
    assert np.allclose(found, [wanted], rtol=1e-6)
    far = torch.zeros(1, 12)
    far[0, 0] = 1.0
    found = PUBLISHED.weights(
        torch.zeros(1, 12, dtype=torch.bool), torch.full((1, 12), 3.0), far
    )
    assert np.allclose(found, [[3.3] * 4 + [0.3] * 8], rtol=1e-6)


def test_each_part_alone():
    is_repeat = torch.tensor([[True, False]])
    track = torch.tensor([[2.0, 0.5]])
    assert torch.equal(Conservation().weights(is_repeat, None, None), torch.ones(1, 2))
    assert np.allclose(
        Conservation(repeat_weight=0.1).weights(is_repeat, None, None), [[0.1, 1]]
    )
    assert np.allclose(
        Conservation(phylop=True).weights(is_repeat, track, None), [[2, 1]]
    )
    assert np.allclose(
        Conservation(phastcons_floor=0.1, smooth=1).weights(is_repeat, None, track),
        [[2.1, 0.6]],
    )


def test_labels_are_replaced_where_nothing_is_conserved_and_only_there():
    draw = torch.Generator().manual_seed(0)
    bases = torch.randint(0, 5, (200, 100), generator=draw)
    phastcons = torch.zeros(200, 100)
    phastcons[:, 50:] = 0.1
    positions = torch.arange(200)
    labels = PUBLISHED.labels(bases, phastcons, 3, positions)
    near = slice(47, 100)  # smoothing reaches three to the left; 0.1 is not below 0.1
    assert torch.equal(labels[:, near], bases[:, near])
    known = bases[:, :47] < 4
    assert torch.equal(labels[:, :47][~known], bases[:, :47][~known])
    changed = float((labels != bases)[:, :47][known].float().mean())
    assert abs(changed - 0.5 * 0.75) < 0.02  # one of four may be the base itself
    shares = (
        torch.bincount(labels[:, :47][known & (labels != bases)[:, :47]], minlength=4)
        / known.sum()
    )
    assert (shares - changed / 4).abs().max() < 0.02
    assert torch.equal(
        PUBLISHED.labels(bases[5:9], phastcons[5:9], 3, positions[5:9]), labels[5:9]
    )
    assert not torch.equal(PUBLISHED.labels(bases, phastcons, 4, positions), labels)


def test_replaced_tokens_have_their_shares_and_follow_the_position():
    tokens, positions, others = (
        torch.full((300, 50), 2),
        torch.arange(300),
        torch.tensor([0, 1, 2, 3]),
    )
    is_masked = torch.rand(300, 50, generator=torch.Generator().manual_seed(1)) < 0.3
    seen = replace_hidden(tokens, is_masked, 9, others, (0.8, 0.1), 0, positions)
    assert torch.equal(seen[~is_masked], tokens[~is_masked])
    hidden = seen[is_masked]
    assert abs(float((hidden == 9).float().mean()) - 0.8) < 0.02
    assert abs(float((hidden == 2).float().mean()) - 0.1 - 0.1 / 4) < 0.02
    part = replace_hidden(
        tokens[7:9], is_masked[7:9], 9, others, (0.8, 0.1), 0, positions[7:9]
    )
    assert torch.equal(part, seen[7:9])
    assert (
        replace_hidden(tokens, is_masked, 9, others, (1.0, 0.0), 0, positions)[
            is_masked
        ]
        == 9
    ).all()
