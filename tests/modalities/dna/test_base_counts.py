"""Counted contexts: by hand, and against a chain whose truth is known."""

import itertools

import numpy as np
import pytest
import torch

from r2mae.modalities.dna.base_counts import CountModel, count_contexts
from r2mae.modalities.dna.masked_bases import (
    hidden_bases,
    repeat_tokens,
    score_bases,
)
from r2mae.modalities.dna.models.conv import BaseMasking


class Source:
    """Windows in memory."""

    fingerprint, labels, labels_absent = "x", None, "none"

    def __init__(self, bases):
        self.bases = torch.as_tensor(bases)

    def __len__(self):
        return len(self.bases)

    def load(self, indices, positions, seed):
        return {"bases": self.bases[indices], "indices": indices, "skipped": ()}


def test_words_are_counted_on_both_strands():
    counts = count_contexts(Source([[0, 0, 1, 4, 2, 3]]), side=1)
    wanted = np.zeros((4, 4, 4))
    wanted[0, 0, 1] = wanted[2, 3, 3] = (
        1  # AAC, and GTT of the other strand; nothing spans the N
    )
    assert np.array_equal(counts, wanted)


def brute(counts, left, base, right, strength):
    """Shares by the definition, one context at a time."""
    side = counts.ndim // 2
    lengths = (len(left), len(right))
    slices = (
        [slice(None)] * (side - lengths[0])
        + [*left, slice(None), *right]
        + [slice(None)] * (side - lengths[1])
    )
    here = counts[tuple(slices)]
    axis = side - lengths[0]
    found = (
        here.sum(axis=tuple(n for n in range(here.ndim) if n != axis))
        if here.ndim > 1
        else here
    )
    if not left and not right:
        prior = 0.25
    else:
        cut_left, cut_right = lengths[0] >= lengths[1], lengths[1] >= lengths[0]
        prior = brute(
            counts, left[cut_left:], base, right[: len(right) - cut_right], strength
        )
    return (found[base] + strength * prior) / (found.sum() + strength)


def test_shares_are_those_of_the_definition():
    draw = np.random.default_rng(0)
    counts = draw.integers(0, 9, (4,) * 5)
    model = CountModel(counts, 3.0)
    for lengths in itertools.product(range(3), repeat=2):
        for _ in range(5):
            left, right = (
                tuple(draw.integers(0, 4, length).tolist()) for length in lengths
            )
            base = int(draw.integers(4))
            number = [
                sum(4 ** (len(part) - 1 - n) * value for n, value in enumerate(part))
                for part in (left, right)
            ]
            assert model.tables[lengths][number[0], base, number[1]] == pytest.approx(
                brute(counts, left, base, right, 3.0)
            )


def test_only_visible_known_neighbours_are_looked_at():
    draw = np.random.default_rng(1)
    counts = draw.integers(1, 9, (4,) * 5)
    model = CountModel(counts, 1.0)
    bases = torch.tensor([[1, 2, 3, 0, 4, 1]])
    is_hidden = torch.tensor([[False, False, True, False, False, True]])
    found = np.exp(-model.losses(bases, is_hidden))
    assert found[0] == pytest.approx(
        brute(counts, (1, 2), 3, (0,), 1.0)
    )  # one to the right, then N
    assert found[1] == pytest.approx(brute(counts, (), 1, (), 1.0))
    other = torch.where(is_hidden, (bases + 1) % 4, bases)
    alone = torch.tensor([[False, False, True, False, False, False]])
    hidden_too = torch.tensor([[False, True, True, False, False, False]])
    assert np.exp(-model.losses(bases, hidden_too))[1] == pytest.approx(
        brute(counts, (), 3, (0,), 1.0)
    )
    assert np.exp(-model.losses(other, alone))[0] == pytest.approx(
        brute(counts, (1, 2), 0, (0,), 1.0)
    )


def test_a_chain_is_known_by_its_two_neighbours():
    """Of a first-order chain, one neighbour on each side is all there is to know: the counts find its entropy."""
    draw = np.random.default_rng(2)
    pairs = draw.random((4, 4)) ** 3
    pairs = pairs + pairs.T
    pairs += pairs[::-1, ::-1]  # the same forward, backward and on the other strand
    steps = pairs / pairs.sum(axis=1, keepdims=True)
    bases = np.zeros((400, 500), dtype=np.int64)
    bases[:, 0] = draw.choice(4, 400, p=pairs.sum(axis=1) / pairs.sum())
    for n in range(1, 500):
        bases[:, n] = (
            draw.random(400)[:, None] > steps.cumsum(axis=1)[bases[:, n - 1]]
        ).sum(axis=1)
    counts = count_contexts(Source(bases[:300]), side=2)
    is_hidden = torch.zeros(100, 500, dtype=torch.bool)
    is_hidden[:, 5:-5:10] = True
    test = torch.from_numpy(bases[300:])
    row, place = is_hidden.nonzero(as_tuple=True)
    before, after = test[row, place - 1].numpy(), test[row, place + 1].numpy()
    truth = steps[before, :] * steps[:, after].T
    truth /= truth.sum(axis=1, keepdims=True)
    best = -np.log(truth[np.arange(len(row)), test[is_hidden].numpy()]).mean()
    found = CountModel(counts, 4.0).losses(test, is_hidden).mean()
    assert abs(found - best) < 0.01
    assert best < 1.3


class Uniform(torch.nn.Module):
    """Knows nothing: every base is as likely."""

    grid = (64,)

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(4))
        self.masking = BaseMasking(self.grid)

    def logits(self, batch, mask):
        return torch.zeros(int(mask.is_masked.sum()), 4) + self.weight

    def named_targets(self, batch, mask):
        return batch["bases"][mask.is_masked], None


def test_scores_are_paired_on_the_same_sites():
    draw = np.random.default_rng(3)
    bases = np.where(draw.random((60, 64)) < 0.7, 0, draw.integers(0, 4, (60, 64)))
    (score,) = score_bases(Uniform(), Source(bases[:40]), Source(bases[40:]), [0.2])
    assert score.loss == pytest.approx(np.log(4), rel=1e-6)
    assert score.bases == 20 * 13
    assert score.order_0_loss < 1.3
    assert score.difference == pytest.approx(score.loss - score.count_loss)
    assert 0 < score.half_width < 0.2


def test_bases_of_hidden_words():
    is_masked = torch.tensor([[False, True, False, False]])
    found = hidden_bases(is_masked, torch.zeros(1, 7), 3)
    assert found.tolist() == [[True, True, True, False, False, False, False]]


def test_soft_masked_bases_are_left_out_on_request():
    draw = np.random.default_rng(4)
    bases = draw.integers(0, 4, (60, 64))
    bases[:, 32:] = 0  # repeats, which are easy

    class Repeats(Source):
        def load(self, indices, positions, seed):
            batch = super().load(indices, positions, seed)
            batch["is_repeat"] = (torch.arange(64) >= 32).expand(len(indices), 64)
            return batch

    train, test = Repeats(bases[:40]), Repeats(bases[40:])
    (every,) = score_bases(Uniform(), train, test, [0.25])
    (unique,) = score_bases(Uniform(), train, test, [0.25], skip_repeats=True)
    assert 0.3 * every.bases < unique.bases < 0.7 * every.bases
    assert unique.loss == pytest.approx(np.log(4), rel=1e-6)
    assert every.count_loss < 1.0
    assert unique.count_loss > 1.3


def test_a_kmer_with_a_soft_masked_base_is_a_repeat():
    is_repeat = torch.tensor([[False, False, True, False, False, False, True]])
    tokens = repeat_tokens({"is_repeat": is_repeat}, 4, 3)
    assert tokens.tolist() == [[False, True, False, False]]
    bases = repeat_tokens({"is_repeat": is_repeat}, 9, 1)
    assert bases.tolist() == [[False, *is_repeat[0].tolist(), False]]
    assert repeat_tokens({"is_repeat": is_repeat}, 7, 1) is is_repeat
