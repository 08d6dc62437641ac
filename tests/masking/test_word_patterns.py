"""Whole words and spans: exact counts, units hidden together, one unit trimmed at most."""

import torch

from r2mae.masking.pattern import sample_mask

LENGTH = 60


def masks(pattern, ratio, units=None, samples=300):
    eligible = torch.ones(samples, LENGTH, dtype=torch.bool)
    ratios = torch.full((samples,), ratio, dtype=torch.float64)
    return sample_mask(
        pattern, eligible, ratios, 3, torch.arange(samples), (LENGTH,), units=units
    ).is_masked


def test_words_are_hidden_whole():
    units = (torch.arange(LENGTH) // 4).expand(300, -1)
    hidden = masks("word", 0.35, units)
    assert hidden.sum(dim=1).eq(21).all()
    words = hidden.view(300, 15, 4).sum(dim=2)
    partly = ((words > 0) & (words < 4)).sum(dim=1)
    assert partly.eq(1).all()  # 21 = 5 words and one token of a sixth
    often = hidden.float().mean(dim=0)
    assert often.min() > 0.2
    assert often.max() < 0.5


def test_spans_are_runs():
    hidden, alone = masks("span", 0.3), masks("random", 0.3)
    assert hidden.sum(dim=1).eq(18).all()

    def runs(found):
        return float((found[:, 1:] & ~found[:, :-1]).sum() + found[:, 0].sum()) / len(
            found
        )

    assert 18 / runs(hidden) > 2.5 > 1.6 > 18 / runs(alone)
    assert (hidden[1:] != hidden[:-1]).any(dim=1).all()


def test_word_without_units_is_random():
    assert torch.equal(masks("word", 0.3), masks("random", 0.3))
