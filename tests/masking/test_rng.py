import numpy as np
import pytest
import torch
from scipy import stats

from r2mae.masking.rng import RandomStream, bits, host_bits, host_uniform, uniforms

HUGE = (1 << 63) - 1
VALUES = [
    0,
    1,
    2,
    255,
    1 << 31,
    (1 << 32) - 1,
    10**12,
    HUGE,
    -1,
    -2,
    -(1 << 31),
    -HUGE - 1,
]


def words(seed, stream, position, token):
    """(64, ...) float64 0/1: every bit of every word, lowest first."""
    drawn = bits(
        seed, stream, torch.as_tensor(position), torch.as_tensor(token)
    ).numpy()
    return np.stack([(drawn >> place) & 1 for place in range(64)]).astype(np.float64)


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1, 2**63, 2**64 - 1, -1, -(2**63)])
@pytest.mark.parametrize("stream", [RandomStream.RATIO, RandomStream.WEIGHTS])
def test_host_bits_equal_bits(seed, stream):
    positions, tokens = torch.tensor(VALUES)[:, None], torch.tensor(VALUES)
    drawn = bits(seed, stream, positions, tokens)
    assert drawn.dtype == torch.int64
    expected = [
        [host_bits(seed, stream, position, token) for token in VALUES]
        for position in VALUES
    ]
    assert [[word % 2**64 for word in row] for row in drawn.tolist()] == expected
    assert uniforms(seed, stream, positions, tokens).tolist() == [
        [host_uniform(seed, stream, position, token) for token in VALUES]
        for position in VALUES
    ]


def test_known_numbers():
    # Written down once: a change of any of these changes every run.
    assert host_bits(0, RandomStream.RATIO) == 0x33FE8BD4F9C57863
    assert host_bits(7, RandomStream.MASK, 10**12, 195) == 0x74F57C8201E956C4
    assert host_bits(2**31 - 1, RandomStream.AUGMENT, 1, 2**40) == 0xF3A80D151CD2CF93


def test_uniforms_are_the_upper_53_bits():
    position, token = torch.arange(1000), torch.tensor(3)
    drawn = uniforms(5, RandomStream.MASK, position, token)
    exact = [
        (word % 2**64 >> 11) / 2**53
        for word in bits(5, RandomStream.MASK, position, token).tolist()
    ]
    assert drawn.dtype == torch.float64
    assert drawn.tolist() == exact
    assert 0 <= drawn.min() < 0.01
    assert 0.99 < drawn.max() < 1


def test_shapes_broadcast():
    position, token = torch.arange(3)[:, None], torch.arange(5)
    drawn = bits(0, RandomStream.MASK, position, token)
    assert drawn.shape == (3, 5)
    assert torch.equal(
        drawn[2, 4], bits(0, RandomStream.MASK, torch.tensor(2), torch.tensor(4))
    )


# Streams of 2^16 words along each of the four keys: (seeds, streams, positions, tokens).
SIDE = np.arange(1 << 16)
ALONG = {
    "position": lambda: words(0, RandomStream.MASK, SIDE, 0),
    "token": lambda: words(0, RandomStream.MASK, 0, SIDE),
    "late position": lambda: words(0, RandomStream.MASK, SIDE + 10**12, 7),
    "seed": lambda: np.concatenate(
        [words(seed, RandomStream.MASK, SIDE[:64], 0) for seed in range(1024)], axis=1
    ),
    "position and token": lambda: words(
        3, RandomStream.ORDER, SIDE[:256, None], SIDE[:256]
    ).reshape(64, -1),
}


@pytest.mark.parametrize("key", ALONG)
def test_bits_are_fair_and_uncorrelated(key):
    drawn = 2 * ALONG[key]() - 1  # (64, n) of +-1
    num = drawn.shape[1]
    assert np.abs(drawn.mean(axis=1)).max() * num**0.5 < 5
    between = drawn @ drawn.T / num - np.eye(64)  # bits of one word
    assert np.abs(between).max() * num**0.5 < 5.5
    for lag in (1, 2, 3, 64, 255, 256):  # bits of neighbouring words
        following = drawn[:, :-lag] @ drawn[:, lag:].T / (num - lag)
        assert np.abs(following).max() * (num - lag) ** 0.5 < 5.5


@pytest.mark.parametrize("shift", [0, 8, 24, 40, 56])
def test_bytes_are_uniform(shift):
    drawn = (
        bits(9, RandomStream.AUGMENT, torch.arange(512)[:, None], torch.arange(512))
        .flatten()
        .numpy()
    )
    counts = np.bincount((drawn >> shift) & 255, minlength=256)
    assert 1e-4 < stats.chisquare(counts).pvalue < 1 - 1e-4


def test_uniforms_are_uniform():
    drawn = (
        uniforms(1, RandomStream.RATIO, torch.arange(512)[:, None], torch.arange(512))
        .flatten()
        .numpy()
    )
    counts = np.bincount((drawn * 1000).astype(int), minlength=1000)
    assert 1e-4 < stats.chisquare(counts).pvalue < 1 - 1e-4
    pairs = (drawn[:-1] * 32).astype(int) * 32 + (drawn[1:] * 32).astype(int)
    assert 1e-4 < stats.chisquare(np.bincount(pairs, minlength=1024)).pvalue < 1 - 1e-4


def test_no_word_comes_twice():
    drawn = [
        bits(seed, stream, torch.arange(64)[:, None], torch.arange(64)).flatten()
        for seed in range(8)
        for stream in RandomStream
    ]
    assert len(torch.cat(drawn).unique()) == 8 * len(RandomStream) * 64 * 64


@pytest.mark.parametrize("key", range(4), ids=["seed", "stream", "position", "token"])
def test_different_keys_give_unrelated_words(key):
    # One number apart in one key, all else equal: half of all bits agree.
    generator = np.random.default_rng(key)
    flips = []
    for turn in range(300):
        keys = [int(value) for value in generator.integers(0, [2**31, 7, 2**40, 2**16])]
        near = keys.copy()
        near[key] += 1 + turn % 3
        flips.append((host_bits(*keys) ^ host_bits(*near)).bit_count())
    assert abs(np.mean(flips) - 32) < 5 * 4 / 300**0.5
    assert abs(np.std(flips) - 4) < 1


def test_one_flipped_input_bit_flips_half_of_the_output():
    positions = torch.arange(2000) * 7919 + 11
    start = words(0, RandomStream.MASK, positions, 5)
    for place in range(62):
        for other in (
            words(0, RandomStream.MASK, positions ^ (1 << place), 5),
            words(0, RandomStream.MASK, positions, 5 ^ (1 << place)),
            words(1 << place, RandomStream.MASK, positions, 5),
        ):
            changed = (start != other).mean(axis=1)  # of each of the 64 output bits
            assert abs(changed.mean() - 0.5) < 0.01
            assert np.abs(changed - 0.5).max() < 0.07


def test_keys_are_not_exchangeable():
    assert host_bits(0, 1, 2, 3) != host_bits(0, 1, 3, 2)
    assert host_bits(1, 2, 0, 3) != host_bits(2, 1, 0, 3)
    assert host_bits(0, 1, 2, 0) != host_bits(0, 1, 0, 2)
