import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from r2mae.training.objective import (
    AnswerSpan,
    Classification,
    MultiLabel,
    Regression,
)


class Fixed(torch.nn.Module):
    """A model whose logits are in the batch."""

    def forward(self, batch):
        return batch["logits"]


TARGETS = torch.tensor([2, 0, 1, 1, 2, 0, 0])
WEIGHTS = torch.tensor([0.5, 2.0, 1.0])


def make_batch(**more):
    torch.manual_seed(0)
    return {"indices": torch.tensor([6, 4, 2, 0]), "logits": torch.randn(4, 3), **more}


def loss_of(objective, batch):
    return objective.loss(Fixed(), objective.prepare(batch, 0))


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_is_torchs_cross_entropy(weights, smoothing):
    batch = make_batch()
    found = loss_of(Classification(TARGETS, 0, smoothing, weights), batch).mean
    wanted = F.cross_entropy(
        batch["logits"],
        TARGETS[[6, 4, 2, 0]],
        weight=weights,
        label_smoothing=smoothing,
    )
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_mixed_labels_are_soft_targets(smoothing):
    share = torch.tensor([0.7, 0.7, 0.1, 0.1])
    batch = make_batch(share=share)
    own, partner = TARGETS[[6, 4, 2, 0]], TARGETS[[4, 6, 0, 2]]
    soft = share[:, None] * F.one_hot(own, 3) + (1 - share[:, None]) * F.one_hot(
        partner, 3
    )
    found = loss_of(Classification(TARGETS, 0, smoothing), batch)
    torch.testing.assert_close(
        found.mean, F.cross_entropy(batch["logits"], soft, label_smoothing=smoothing)
    )
    assert float(found.count) == pytest.approx(4)


def test_parts_add_up_to_the_whole():
    objective, batch = (
        Classification(TARGETS, 0, 0.1, WEIGHTS),
        make_batch(share=torch.tensor([0.7, 0.7, 0.1, 0.1])),
    )
    whole = loss_of(objective, batch)
    parts = [
        loss_of(objective, {key: value[rows] for key, value in batch.items()})
        for rows in ([0, 1], [2, 3])
    ]
    torch.testing.assert_close(whole.total, parts[0].total + parts[1].total)
    torch.testing.assert_close(whole.count, parts[0].count + parts[1].count)


def test_numbers_are_squared_errors():
    targets = torch.tensor([2.0, 0.0, 1.0, 1.0, 2.0, 0.0, -1.0])
    outputs = torch.tensor([[0.5], [1.0], [1.0], [0.0]])
    found = loss_of(
        Regression(targets, 0),
        {"indices": torch.tensor([6, 4, 2, 0]), "logits": outputs},
    )
    assert float(found.total) == pytest.approx(1.5**2 + 1.0 + 0.0 + 4.0)
    assert float(found.count) == 4


def test_several_labels_are_torchs_binary_cross_entropy():
    generator = torch.Generator().manual_seed(0)
    targets = (torch.rand(6, 3, generator=generator) < 0.4).float()
    logits = torch.randn(6, 3, generator=generator)
    objective = MultiLabel(targets, seed=0)
    rows = torch.tensor([4, 1, 0, 5])
    batch = objective.prepare({"indices": rows}, 0)
    loss = objective.loss(lambda _: logits[:4], batch)
    expected = F.binary_cross_entropy_with_logits(logits[:4], targets[rows])
    assert float(loss.total / loss.count) == pytest.approx(float(expected))
    share = torch.tensor([0.25, 0.75, 1.0, 0.5])
    mixed = objective.prepare({"indices": rows, "share": share}, 0)["targets"]
    soft = share[:, None] * targets[rows] + (1 - share)[:, None] * targets[[1, 4, 5, 0]]
    torch.testing.assert_close(mixed, soft)


def test_spans_have_the_loss_of_transformers():
    from transformers.loss.loss_utils import ForQuestionAnsweringLoss

    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 9, 2, generator=generator)
    spans = torch.tensor([[0, 0], [2, 5], [3, 3], [7, 8], [1, 1]])
    objective, rows = AnswerSpan(spans, 0), torch.tensor([4, 1, 0, 3])
    batch = {"indices": rows, "logits": logits}
    expected = ForQuestionAnsweringLoss(*logits.unbind(2), *spans[rows].T)
    torch.testing.assert_close(loss_of(objective, batch).mean, expected)
    loss, right = objective.sum_measures(logits, spans[rows]).tolist()
    assert loss / 4 == pytest.approx(float(expected))
    assert right == 0
    perfect = 100 * F.one_hot(spans[rows], 9).transpose(1, 2).float()
    perfect[0, :, 1] = perfect[0, :, 1].flip(0)  # one of both tokens is wrong
    assert objective.sum_measures(perfect, spans[rows])[1] == 3


def test_tokens_that_are_no_candidates_have_no_part_in_the_loss():
    logits = torch.zeros(1, 5, 2, requires_grad=True)
    is_candidate = torch.tensor([[True, False, True, True, False]])
    masked = logits.masked_fill(~is_candidate[..., None], -torch.inf)
    batch = {"indices": torch.tensor([0]), "logits": masked}
    loss = loss_of(AnswerSpan(torch.tensor([[2, 3]]), 0), batch).mean
    loss.backward()
    assert float(loss) == pytest.approx(float(torch.tensor(3.0).log()))
    assert logits.grad.isfinite().all()
    assert (logits.grad[~is_candidate] == 0).all()
