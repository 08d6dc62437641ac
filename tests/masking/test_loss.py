import pytest
import torch

from r2mae.masking.loss import LossSum, masked_squared_error


def tensors(batch=4, masked=6, values=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(batch, masked, values, generator=generator, dtype=dtype),
        torch.randn(batch, masked, values, generator=generator, dtype=dtype),
        (torch.rand(batch, masked, generator=generator) < 0.6),
    )


def by_hand(predictions, targets, weight):
    total = count = 0.0
    for row in range(weight.shape[0]):
        for slot in range(weight.shape[1]):
            if weight[row, slot]:
                errors = predictions[row, slot] - targets[row, slot]
                total += sum(error**2 for error in errors.tolist()) / len(errors)
                count += 1
    return total, count


def test_weighted_sum_by_hand():
    predictions, targets, weight = tensors()
    loss = masked_squared_error(predictions, targets, weight)
    total, count = by_hand(predictions, targets, weight)
    assert 0 < count < weight.numel()
    assert float(loss.total) == pytest.approx(total, rel=1e-12)
    assert float(loss.count) == count
    assert float(loss.mean) == pytest.approx(total / count, rel=1e-12)


def test_no_weight_counts_all():
    predictions, targets, weight = tensors()
    plain = masked_squared_error(predictions, targets)
    whole = masked_squared_error(predictions, targets, torch.ones_like(weight))
    assert float(plain.count) == float(whole.count) == weight.numel()
    assert float(plain.total) == pytest.approx(float(whole.total), rel=1e-12)


@pytest.mark.parametrize("padding", [0.0, 1e30])
def test_padding_changes_nothing(padding):
    predictions, targets, _ = tensors()
    pairs = ((predictions, padding), (targets, -padding))
    wide = [
        torch.cat([part, torch.full_like(part[:, :2], value)], 1)
        for part, value in pairs
    ]
    weight = torch.ones(4, 8, dtype=torch.bool)
    weight[:, 6:] = False
    loss, plain = (
        masked_squared_error(*wide, weight),
        masked_squared_error(predictions, targets),
    )
    assert loss.count == plain.count
    assert torch.isclose(loss.total, plain.total, rtol=1e-12)


def test_sums_over_parts_add_up_to_the_whole():
    predictions, targets, weight = tensors()
    parts = [
        masked_squared_error(predictions[i], targets[i], weight[i])
        for i in (slice(0, 1), slice(1, 4))
    ]
    whole = masked_squared_error(predictions, targets, weight)
    assert torch.isclose(parts[0].total + parts[1].total, whole.total, rtol=1e-12)
    assert parts[0].count + parts[1].count == whole.count


def test_gradient_reaches_counted_positions_only():
    predictions, targets, weight = tensors()
    predictions.requires_grad_()
    loss = masked_squared_error(predictions, targets, weight)
    loss.total.backward()
    expected = (
        2 * (predictions.detach() - targets) / predictions.shape[-1] * weight[..., None]
    )
    assert torch.allclose(predictions.grad, expected, rtol=1e-12)
    assert not loss.count.requires_grad


def test_low_precision_predictions_are_summed_in_the_targets_type():
    predictions, targets, weight = tensors(64, 64, 8, torch.float32)
    rounded = predictions.bfloat16()
    loss = masked_squared_error(rounded, targets, weight)
    assert loss.total.dtype == loss.count.dtype == torch.float32
    exact = masked_squared_error(rounded.double(), targets.double(), weight)
    assert torch.isclose(loss.total.double(), exact.total, rtol=1e-5)


def test_perfect_predictions_cost_nothing():
    _, targets, weight = tensors()
    loss = masked_squared_error(targets.clone(), targets, weight)
    assert float(loss.total) == 0
    assert float(loss.mean) == 0


def test_scalars():
    loss = masked_squared_error(*tensors())
    assert loss.total.shape == loss.count.shape == ()
    assert LossSum(torch.tensor(6.0), torch.tensor(4.0)).mean == 1.5
