"""Features do not depend on who reads the samples, and are computed as the recipe says."""

import os

import numpy as np
import pytest
import torch

from r2mae.evaluation import inference as inference_module
from r2mae.evaluation.features import extract, extract_labelled, for_each_batch
from r2mae.evaluation.inference import Inference, current, inference
from r2mae.evaluation.tokens import extract_tokens
from r2mae.schema.recipe import HardwareSection
from tests.evaluation.marked_tokens import Tokens, sources
from tests.interop.encoders import load_encoder

MIXED = HardwareSection(precision="bf16-mixed", workers=2)


class Unreadable:
    """A source whose every seventh sample is replaced by the one before it."""

    def __init__(self, source):
        self.source = source
        self.labels = source.labels
        self.class_names = source.class_names

    def __len__(self):
        return len(self.source)

    def load(self, indices, positions, seed):
        read = torch.where(indices % 7 == 6, indices - 1, indices)
        batch = self.source.load(read, positions, seed)
        names = tuple(f"sample {index}" for index in indices[read != indices].tolist())
        return batch | {"skipped": names, "process": os.getpid()}


@pytest.fixture(
    scope="module", params=["ViT", "BERT", "DNA transformer", "cell transformer"]
)
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        loaded = load_encoder(request.param, folder)
        source = loaded.wing.open_split(loaded.recipe, "train")
        yield loaded, Unreadable(source), np.arange(min(50, len(source)))[::-1].copy()


def test_features_are_the_same_for_any_number_of_workers(run):
    loaded, source, rows = run
    results = []
    for workers in (0, 2):
        skipped, read, processes, done = set(), [], set(), []

        def look(batch, read=read, processes=processes):
            read.extend(batch["indices"].tolist())
            processes.add(batch["process"])

        with inference(loaded.recipe.hardware, workers):
            features = extract(
                loaded.model,
                source,
                batch_size=8,
                rows=rows,
                skipped=skipped,
                on_batch=look,
                progress=lambda *place, done=done: done.append(place),
            )
        assert (os.getpid() in processes) == (workers == 0)
        results.append((features, skipped, read, done))
    (alone, *facts), (ahead, *other_facts) = results
    assert alone.dtype == np.float32
    assert np.array_equal(alone, ahead)
    assert facts == other_facts
    assert facts[0] == {f"sample {row}" for row in rows.tolist() if row % 7 == 6}
    assert facts[2][-1] == (len(rows), len(rows))


def test_a_cpu_computes_in_float32_unless_told_otherwise(run):
    loaded, source, rows = run
    exact = extract(loaded.model, source, batch_size=50, rows=rows)
    with inference(MIXED, workers=0, precision="bf16-mixed"):
        mixed = extract(loaded.model, source, batch_size=50, rows=rows)
    with inference(MIXED, workers=0):
        assert current.get().precision_on("cuda") == "bf16-mixed"
        again = extract(loaded.model, source, batch_size=50, rows=rows)
    batch = source.load(torch.from_numpy(rows), None, 0)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = loaded.model.embed(batch).float().numpy()
    assert mixed.dtype == np.float32
    assert np.array_equal(mixed, expected)
    assert np.array_equal(again, exact)
    assert not np.array_equal(mixed, exact)
    np.testing.assert_allclose(mixed, exact, atol=0.1)


def test_input_features_are_not_rounded(run):
    loaded, source, rows = run
    exact, mixed = (
        extract_under(
            precision, loaded.model, source, rows, kind="baseline", hidden=0.5
        )
        for precision in ("32-true", "bf16-mixed")
    )
    assert np.array_equal(exact, mixed, equal_nan=True)


def extract_under(precision, model, source, rows, **options):
    with inference(MIXED, workers=0, precision=precision):
        return extract(model, source, rows=rows, **options)


def test_it_ends_with_its_block():
    def fail():
        assert current.get() == Inference(3, "bf16-mixed", "32-true")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), inference(MIXED, workers=3):
        fail()
    assert current.get() == Inference()


def test_a_recipes_workers_are_at_most_the_cores(monkeypatch):
    monkeypatch.setattr(inference_module, "_num_cores", lambda: 2)
    with inference(HardwareSection(workers=16)):
        assert current.get().workers == 2
    with inference(HardwareSection(workers=16), workers=16):
        assert current.get().workers == 16


def test_kept_tokens_are_finite_in_mixed_precision():
    class Large(Tokens):
        def embed_tokens(self, batch):
            tokens, is_token = super().embed_tokens(batch)
            return torch.full_like(tokens, 1e6, dtype=torch.bfloat16), is_token

    train, _ = sources()
    kept = extract_tokens(Large(), train, np.arange(4)).tokens
    assert all(torch.isfinite(tokens).all() for tokens in kept)


def test_a_model_may_give_more_rows_than_samples_or_fewer():
    class Words(torch.nn.Linear):
        """Sample i has (3 * i) % 8 words, as rows that hold i."""

        def forward(self, batch):
            indices = batch["indices"]
            return indices.repeat_interleave(3 * indices % 8)[:, None]

    _, test = sources()
    counts = 3 * np.arange(len(test)) % 8
    words = extract(Words(1, 1), test, "forward", batch_size=7)
    expected = np.repeat(np.arange(len(test)), counts)
    assert np.array_equal(words[:, 0], expected)
    few = extract(Words(1, 1), test, "forward", batch_size=2, rows=np.array([3, 0, 8]))
    assert few[:, 0].tolist() == [3]


def test_labels_follow_what_workers_read():
    class First(Tokens):
        def forward(self, batch):
            return batch["values"][:, 0]

    train, _ = sources()
    model, source = First(), Unreadable(train)
    visited = []
    with inference(MIXED):
        for_each_batch([model], source, lambda batch: visited.append(batch), 16)
        features = extract_labelled(model, source, kind="forward", batch_size=16)
    read = torch.cat([batch["indices"] for batch in visited]).numpy()
    assert np.array_equal(features.labels, train.labels[read])
