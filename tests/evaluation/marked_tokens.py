"""Tokens of which one tells the class."""

import numpy as np
import torch
from torch import nn

from r2mae.data.arrays import ArraySource

WIDTH, TOKENS, CLASSES = 12, 8, 3


def one_among_noise(num, seed):
    """(tokens (num, T, K), labels): one marked token at a random place tells the class.

    The others show random classes and no mark.
    """
    generator = np.random.default_rng(seed)
    labels = np.arange(num) % CLASSES
    shown = generator.integers(0, CLASSES, (num, TOKENS))
    places = generator.integers(0, TOKENS, num)
    shown[np.arange(num), places] = labels
    tokens = generator.normal(0, 0.3, (num, TOKENS, WIDTH))
    tokens[..., :CLASSES] += 2 * np.eye(CLASSES)[shown]
    tokens[np.arange(num), places, CLASSES] += 2
    return torch.from_numpy(tokens).float(), labels


def predict(groups, tokens, is_token=None):
    if is_token is None:
        is_token = torch.ones(tokens.shape[:2], dtype=torch.bool)
    return np.concatenate([probes.predict(tokens, is_token) for probes in groups])


class Tokens(nn.Module):
    """An encoder whose tokens are the samples' own."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def embed_tokens(self, batch):
        tokens = batch["values"] * self.scale
        return tokens, torch.ones(tokens.shape[:2], dtype=torch.bool)


def sources():
    """Training and test samples."""
    made = []
    for num, seed in ((120, 0), (60, 1)):
        tokens, labels = one_among_noise(num, seed)
        made.append(ArraySource({"values": tokens.numpy()}, labels))
    return made
