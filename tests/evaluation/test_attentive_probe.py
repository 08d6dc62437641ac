"""Attentive probes: they find tokens that a mean hides, alone or together, again and again."""

import numpy as np
import pytest
import torch

from r2mae.evaluation.attentive_predictions import STEPS
from r2mae.evaluation.attentive_probe import train_probes
from r2mae.evaluation.tokens import TokenSet
from r2mae.metrics.linear_probe import linear_probe_accuracy
from tests.evaluation.marked_tokens import one_among_noise, predict


def token_set(tokens, labels):
    return TokenSet(list(tokens.half()), labels)


def test_attention_finds_the_token_that_a_mean_hides():
    (tokens, labels), (unseen, expected) = (
        one_among_noise(400, 0),
        one_among_noise(300, 1),
    )
    predicted = predict(
        train_probes(token_set(tokens, labels), None, steps=STEPS), unseen
    )
    assert (predicted[0] == expected).mean() > 0.9
    means = (part.mean(dim=1).numpy() for part in (tokens, unseen))
    of_train, of_test = means
    assert linear_probe_accuracy(of_train, labels, of_test, expected) < 0.7


def test_mixed_precision_of_an_encoder_does_not_round_probes():
    tokens, labels = one_among_noise(400, 0)
    (probes,) = train_probes(token_set(tokens, labels), None, steps=5)
    is_token = torch.ones(tokens.shape[:2], dtype=torch.bool)
    seen = []
    probes.register_forward_hook(lambda *call: seen.append(call[2]))
    probes.predict(tokens, is_token)
    with torch.autocast("cpu", torch.bfloat16):
        probes.predict(tokens, is_token)
    assert torch.equal(*seen)


def test_training_again_gives_the_same_predictions():
    tokens, labels = one_among_noise(60, 0)
    one, two = (
        predict(train_probes(token_set(tokens, labels), None, steps=20), tokens)
        for _ in range(2)
    )
    assert np.array_equal(one, two)


@pytest.mark.parametrize("at_once", [1, 2**26], ids=["one by one", "together"])
def test_a_probe_depends_on_its_own_draw_only(monkeypatch, at_once):
    monkeypatch.setattr("r2mae.evaluation.attentive_probe._AT_ONCE", at_once)
    tokens, labels = one_among_noise(90, 0)
    draws = [np.arange(30), np.arange(30, 60), np.arange(60, 90)]
    together = train_probes(token_set(tokens, labels), draws, steps=20)
    assert len(together) == (3 if at_once == 1 else 1)
    alone = train_probes(token_set(tokens[30:60], labels[30:60]), None, steps=20)
    # Rounding may differ in a larger group.
    same = predict(together, tokens)[1] == predict(alone, tokens)[0]
    assert same.mean() > 0.95


def test_more_samples_than_a_batch_are_all_used(monkeypatch):
    monkeypatch.setattr("r2mae.evaluation.attentive_probe._BATCH", 64)
    tokens, labels = one_among_noise(300, 0)
    (probes,) = train_probes(token_set(tokens, labels), None, steps=10)
    deviation = tokens.half().flatten(0, 1).double().std(dim=0)
    torch.testing.assert_close(
        probes.deviation[0, 0].double(), deviation, rtol=1e-3, atol=1e-3
    )
    everything = torch.ones(tokens.shape[:2], dtype=torch.bool)[None]
    with torch.no_grad():
        pooled = probes.pool(tokens.half().float()[None], everything)
    torch.testing.assert_close(probes.of_pooled.mean, pooled.mean(dim=1, keepdim=True))


def test_padding_and_tokens_left_out_change_nothing():
    tokens, labels = one_among_noise(60, 0)
    short = TokenSet(
        [part[: 8 + n % 8].half() for n, part in enumerate(tokens)], labels
    )
    groups = train_probes(short, None, steps=20)
    padded, is_token = short.batch(torch.arange(60), torch.device("cpu"))
    assert is_token.sum(dim=1).tolist() == [len(part) for part in short.tokens]
    spoiled = padded.masked_fill(~is_token[:, :, None], 1e4)
    expected = predict(groups, padded, is_token)
    assert np.array_equal(predict(groups, spoiled, is_token), expected)
    alone = [predict(groups, part.float()[None])[0, 0] for part in short.tokens]
    assert np.array_equal(alone, expected[0])
