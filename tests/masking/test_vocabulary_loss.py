"""Chunked cross-entropy: the same loss and gradients as torch's own, with logits that never exist whole."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit

from r2mae.masking import vocabulary_loss as module
from r2mae.masking.vocabulary_loss import vocabulary_loss, vocabulary_top


@pytest.mark.parametrize("rows", [1, 7, 50])
@pytest.mark.parametrize("has_bias", [False, True])
def test_equals_torch(rows, has_bias, monkeypatch):
    monkeypatch.setattr(module, "_CPU_LOGITS", 40 * 8)  # chunks of 8 rows
    torch.manual_seed(rows)
    parts = [torch.randn(rows, 6), torch.randn(40, 6), torch.randn(40)]
    parts = [part.double().requires_grad_() for part in parts]
    bias = parts[2] if has_bias else None
    targets = torch.randint(40, (rows,))
    expected = F.cross_entropy(
        F.linear(parts[0], parts[1], bias), targets, reduction="sum"
    )
    wanted = torch.autograd.grad(3 * expected, parts[: 2 + has_bias])
    found = vocabulary_loss(parts[0], parts[1], bias, targets)
    given = torch.autograd.grad(3 * found, parts[: 2 + has_bias])
    assert torch.allclose(found, expected, rtol=0, atol=1e-10)
    assert all(
        torch.allclose(*pair, rtol=0, atol=1e-10)
        for pair in zip(wanted, given, strict=True)
    )
    with torch.no_grad():
        assert torch.allclose(
            vocabulary_loss(parts[0], parts[1], bias, targets), expected
        )


def test_logits_never_exist_whole(monkeypatch):
    """Nothing of more than a chunk's logits is kept or made."""
    monkeypatch.setattr(module, "_CPU_LOGITS", 1000 * 8)
    largest, sound = 0, F.linear

    def watched(*arguments):
        nonlocal largest
        logits = sound(*arguments)
        largest = max(largest, logits.numel())
        return logits

    monkeypatch.setattr(module.F, "linear", watched)
    features, weight = (
        torch.randn(500, 4, requires_grad=True),
        torch.randn(1000, 4, requires_grad=True),
    )
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.append(t.numel()) or t, lambda t: t
    ):
        vocabulary_loss(
            features, weight, None, torch.zeros(500, dtype=torch.int64)
        ).backward()
    assert largest == 8000
    assert max(kept) <= 4000


def test_top():
    features, weight = (
        torch.eye(3),
        torch.tensor([[0.0, 5, 0], [2, 0, 0], [0, 0, 1], [1, 1, 0]]),
    )
    shares, tokens = vocabulary_top(features, weight, None, 2)
    assert tokens.tolist() == [[1, 3], [0, 3], [2, 0]] or tokens[:, 0].tolist() == [
        1,
        0,
        2,
    ]
    assert torch.allclose(shares[0, 0], weight[:, 0].softmax(0)[1])
    assert vocabulary_top(features[:0], weight, None)[1].shape == (0, 1)
