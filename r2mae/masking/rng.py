"""Counter-based random bits: a pure integer hash, the same on CPU, GPU, under compile and in plain Python.

Nothing here has state. `bits(seed, stream, position, token)` names a number; asking twice gives it twice.

Source: splitmix64's finaliser (Steele, Lea, Flood 2014), chained once a key.
"""

from enum import IntEnum

import torch
from torch import Tensor

_WORD = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB


class RandomStream(IntEnum):
    """What a random number is for; numbers of different streams are independent."""

    RATIO = 1
    MASK = 2
    ORDER = 3
    HELD_OUT = 4
    AUGMENT = 5
    DROPOUT = 6
    WEIGHTS = 7
    MIX = 8
    COLUMN = 9
    DECOY = 10
    REPLACE = 11
    STRAND = 12


def stream_start(seed: int, stream: int) -> int:
    """The hash before position and token are mixed in, for code that mixes by itself: an unsigned 64-bit integer."""
    return _host_mix(seed + stream * _GOLDEN)


def host_bits(seed: int, stream: int, position: int = 0, token: int = 0) -> int:
    """`bits` for one number in plain Python: an unsigned 64-bit integer."""
    word = _host_mix(stream_start(seed, stream) + position * _GOLDEN)
    return _host_mix(word + token * _GOLDEN)


def bits(seed: int, stream: int, position: Tensor, token: Tensor) -> Tensor:
    """64 random bits for every (position, token), broadcast against each other, as int64.

    Args:
        seed: of the run.
        stream: what the bits are for, a `RandomStream`.
        position: int64, of the samples in the stream, or steps.
        token: int64, of the tokens in a sample, or a counter.
    """
    start = _signed(stream_start(seed, stream))
    word = _mix(start + position * _signed(_GOLDEN))
    return _mix(word + token * _signed(_GOLDEN))


def uniforms(seed: int, stream: int, position: Tensor, token: Tensor) -> Tensor:
    """`bits` as float64 in [0, 1): the upper 53 bits, exact on every device."""
    return _shift(bits(seed, stream, position, token), 11).to(torch.float64) * 2.0**-53


def host_uniform(seed: int, stream: int, position: int = 0, token: int = 0) -> float:
    """`uniforms` for one number in plain Python."""
    return (host_bits(seed, stream, position, token) >> 11) * 2.0**-53


def _host_mix(word: int) -> int:
    word &= _WORD
    word = ((word ^ (word >> 30)) * _FIRST) & _WORD
    word = ((word ^ (word >> 27)) * _SECOND) & _WORD
    return word ^ (word >> 31)


def _mix(word: Tensor) -> Tensor:
    word = (word ^ _shift(word, 30)) * _signed(_FIRST)
    word = (word ^ _shift(word, 27)) * _signed(_SECOND)
    return word ^ _shift(word, 31)


def _shift(word: Tensor, by: int) -> Tensor:
    """Logical right shift: int64's own `>>` copies the sign bit."""
    return (word >> by) & ((1 << (64 - by)) - 1)


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word
