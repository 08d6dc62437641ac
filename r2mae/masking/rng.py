"""Counter-based random numbers: an integer hash of (seed, stream, position, token).

There is no generator state, so a number depends on its key alone. It is the same on CPU,
GPU, under torch.compile and in plain Python.

Source: the finaliser of splitmix64 (Steele, Lea, Flood 2014), applied once per key part.
"""

from enum import IntEnum

import torch
from torch import Tensor

_MASK_64 = (1 << 64) - 1  # reduces modulo 2^64
# The constants of splitmix64.
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB


class RandomStream(IntEnum):
    """Purpose of a random number; numbers of different streams are independent.

    The values are part of a run's randomness: a change would alter every run.
    """

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
    RAND_AUGMENT = 13
    ERASE = 14


def stream_start(seed: int, stream: int) -> int:
    """The hash of seed and stream as an unsigned 64-bit integer.

    For kernels that mix in position and token themselves.
    """
    return _host_mix(seed + stream * _GOLDEN)


def host_bits(seed: int, stream: int, position: int = 0, token: int = 0) -> int:
    """`bits` of one key in plain Python, as an unsigned 64-bit integer."""
    state = _host_mix(stream_start(seed, stream) + position * _GOLDEN)
    return _host_mix(state + token * _GOLDEN)


def bits(seed: int, stream: int, position: Tensor, token: Tensor) -> Tensor:
    """64 random bits as int64 for position and token, broadcast against each other.

    Args:
        seed: of the run.
        stream: purpose of the bits, a `RandomStream`.
        position: int64, of the samples in the stream, or an optimizer step.
        token: int64, index of a token in its sample, or a counter.
    """
    start = _signed(stream_start(seed, stream))
    state = _mix(start + position * _signed(_GOLDEN))
    return _mix(state + token * _signed(_GOLDEN))


def uniforms(seed: int, stream: int, position: Tensor, token: Tensor) -> Tensor:
    """Uniform float64 in [0, 1) from the upper 53 of `bits`, equal on every device."""
    return _shift(bits(seed, stream, position, token), 11).to(torch.float64) * 2.0**-53


def host_uniform(seed: int, stream: int, position: int = 0, token: int = 0) -> float:
    """`uniforms` of one key in plain Python."""
    return (host_bits(seed, stream, position, token) >> 11) * 2.0**-53


def _host_mix(state: int) -> int:
    state &= _MASK_64
    state = ((state ^ (state >> 30)) * _FIRST) & _MASK_64
    state = ((state ^ (state >> 27)) * _SECOND) & _MASK_64
    return state ^ (state >> 31)


def _mix(state: Tensor) -> Tensor:
    state = (state ^ _shift(state, 30)) * _signed(_FIRST)
    state = (state ^ _shift(state, 27)) * _signed(_SECOND)
    return state ^ _shift(state, 31)


def _shift(state: Tensor, by: int) -> Tensor:
    """Logical right shift; `>>` of int64 would copy the sign bit."""
    return (state >> by) & ((1 << (64 - by)) - 1)


def _signed(state: int) -> int:
    """The int64 with the bits of an unsigned 64-bit integer."""
    return state - (1 << 64) if state >> 63 else state
