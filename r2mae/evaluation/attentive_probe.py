"""Attentive probes: learned queries attend to an encoder's tokens, a linear layer classifies.

Shapes: R probes, each trained on n samples of its own; B samples, T tokens of K features,
M queries of V values each, C classes.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - as in torch's documentation
from torch import Tensor, nn

from r2mae.evaluation.tokens import TokenSet

Integers = npt.NDArray[np.int64]
_MOST_QUERIES, _VALUES_OF_QUERY = 32, 4
_BATCH = 512
_LEARNING_RATE, _WEIGHT_DECAY = 5e-3, 0.1
_QUERY_SCALE = 2.0  # standard deviation of attention scores before training
_EPSILON = 1e-5
_AT_ONCE = 2**26  # values of tokens of the probes that are trained together


class Moments(NamedTuple):
    """Mean and standard deviation of features, for each probe."""

    mean: Tensor
    deviation: Tensor


class AttentiveProbes(nn.Module):
    """R probes of the same shape, each with parameters and statistics of its own.

    classes: (C,) class numbers.

    Source: Psomas et al. 2026, "Attention, Please! Revisiting Attentive Probing Through
    the Lens of Efficiency" (efficient probing): queries without a key projection, each
    with its share of one value projection, BatchNorm and a linear classifier.
    Differs: tokens are scaled to a deviation of 1, queries start with attention that
    varies, and BatchNorm uses the statistics of all training samples after training.
    """

    def __init__(self, count: int, width: int, classes: Integers, seed: int) -> None:
        super().__init__()
        self.classes = classes
        queries = max(1, min(_MOST_QUERIES, width // _VALUES_OF_QUERY))
        shape = (queries, width, max(1, width // queries))
        generator = torch.Generator().manual_seed(seed)
        values = torch.randn(shape, generator=generator) / width**0.5
        start = torch.randn(queries, width, generator=generator) * _QUERY_SCALE
        self.queries = nn.Parameter(start.expand(count, -1, -1).clone())
        self.values = nn.Parameter(values.expand(count, *shape).clone())
        pooled = shape[0] * shape[2]
        self.weight = nn.Parameter(torch.zeros(count, pooled, len(classes)))
        self.bias = nn.Parameter(torch.zeros(count, 1, len(classes)))
        self.deviation = torch.ones(count, 1, width)  # of tokens
        self.of_pooled: Moments | None = None  # None: those of the batch

    def pool(self, tokens: Tensor, is_token: Tensor) -> Tensor:
        """(R, B, M * V) of tokens (R or 1, B, T, K), before BatchNorm.

        is_token: (R or 1, B, T). With 1, all probes read the same tokens.
        """
        sets, batch, length, width = tokens.shape
        # Parameters are scaled in place of the tokens, which are larger.
        queries = self.queries / (self.deviation * width**0.5)
        values = self.values / self.deviation[..., None]
        by_set = queries.view(sets, -1, width).transpose(1, 2)
        scores = (tokens.flatten(1, 2) @ by_set).unflatten(1, (batch, length))
        attention = scores.masked_fill(~is_token[..., None], -torch.inf).softmax(dim=2)
        attended = attention.transpose(2, 3) @ tokens
        attended = attended.unflatten(2, (-1, queries.shape[1])).transpose(1, 2)
        attended = attended.flatten(0, 1)  # (R, B, M, K)
        pooled = torch.einsum("rbmk,rmkv->rbmv", attended, values)
        return pooled.flatten(2)

    def forward(self, pooled: Tensor) -> Tensor:
        """(R, B, C) logits of pooled values (R, B, M * V)."""
        mean, deviation = self.of_pooled or _moments(pooled)
        return (pooled - mean) / deviation @ self.weight + self.bias

    def predict(self, tokens: Tensor, is_token: Tensor) -> Integers:
        """(R, B) classes that the probes give tokens (B, T, K)."""
        device_type = tokens.device.type
        with torch.no_grad(), torch.autocast(device_type, enabled=False):
            logits = self(self.pool(tokens.float()[None], is_token[None]))
        return np.asarray(self.classes[logits.argmax(dim=2).cpu().numpy()])


def train_probes(
    train: TokenSet,
    draws: list[Integers] | None,
    *,
    steps: int,
    seed: int = 0,
    device: torch.device | None = None,
    status: Callable[[str], None] | None = None,
) -> list[AttentiveProbes]:
    """Probes trained on draws of rows of train, or one on all, in groups in their order.

    AdamW with a cosine schedule, on all samples of a draw up to 512 and otherwise on
    random batches of 512. A probe depends on its own samples and the seed.
    """
    classes, codes = np.unique(train.labels, return_inverse=True)
    rows = np.arange(len(train.labels))[None] if draws is None else np.stack(draws)
    samples = torch.from_numpy(rows)
    longest = max(map(len, train.tokens))
    batch = min(_BATCH, samples.shape[1])
    values = batch * longest * train.tokens[0].shape[1]
    groups = []
    for group in samples.split(max(1, _AT_ONCE // values)):
        probes = AttentiveProbes(len(group), train.tokens[0].shape[1], classes, seed)
        groups.append(probes.to(device or torch.device("cpu")))
        _fit(groups[-1], train, torch.from_numpy(codes), group, steps, seed, status)
    return groups


def _fit(
    probes: AttentiveProbes,
    train: TokenSet,
    codes: Tensor,
    rows: Tensor,
    steps: int,
    seed: int,
    status: Callable[[str], None] | None,
) -> None:
    """Train probes on rows (R, n)."""
    device = probes.bias.device
    probes.deviation = _token_deviation(train, rows, device)
    optimizer = torch.optim.AdamW(
        probes.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    size, chosen = rows.shape[1], rows
    for step in range(steps):
        if size > _BATCH:
            chosen = rows[:, torch.randperm(size, generator=generator)[:_BATCH]]
        if step == 0 or size > _BATCH:
            tokens, is_token = train.batch(chosen, device)
            labels = codes[chosen].flatten().to(device)
        logits = probes(probes.pool(tokens, is_token))
        # The sum over probes: each one's gradient is that of its own mean.
        loss = F.cross_entropy(logits.flatten(0, 1), labels) * len(rows)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if status is not None and step % 20 == 19:
            status(f"step {step + 1} of {steps}, loss {loss.item() / len(rows):.4f}")
    with torch.no_grad():
        batches = (train.batch(part, device) for part in rows.split(_BATCH, dim=1))
        pooled = [probes.pool(*each) for each in batches]
    probes.of_pooled = _moments(torch.cat(pooled, dim=1))


def _moments(values: Tensor) -> Moments:
    """Of values (R, B, F) over B."""
    variance, mean = torch.var_mean(values, dim=1, correction=0, keepdim=True)
    return Moments(mean, (variance + _EPSILON).sqrt())


def _token_deviation(train: TokenSet, rows: Tensor, device: torch.device) -> Tensor:
    """(R, 1, K) standard deviation of all tokens of rows (R, n)."""
    shape = (len(rows), 1, train.tokens[0].shape[1])
    total, squares = (torch.zeros(shape, dtype=torch.float64) for _ in range(2))
    count = torch.zeros(len(rows), 1, 1, dtype=torch.float64)
    for part in rows.split(_BATCH, dim=1):
        tokens, is_token = train.batch(part, torch.device("cpu"))
        flat = tokens.double().flatten(1, 2)  # padding is 0
        total += flat.sum(dim=1, keepdim=True)
        squares += flat.square().sum(dim=1, keepdim=True)
        count += is_token.sum(dim=(1, 2))[:, None, None]
    mean = total / count
    variance = (squares / count - mean.square()).clamp(min=0)
    return (variance + _EPSILON).sqrt().float().to(device)
