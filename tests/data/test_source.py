import numpy as np
import pytest
import torch

from r2mae.data.source import Part, StreamDataset, as_is, has_labels, hold_out
from r2mae.data.stream import MicroBatches, Stream
from r2mae.errors import InputError


class Numbers:
    """A source whose sample i is the number i; some of them are bad."""

    def __init__(self, num, bad=(), has_labels=True):
        self.num, self.bad, self.fingerprint = num, set(bad), f"numbers-{num}"
        self.labels_absent, self.class_names = "nothing", {0: "none"}
        self.labels = np.arange(num, dtype=np.int64) * 10 if has_labels else None
        self.asked = []

    def __len__(self):
        return self.num

    def name(self, index):
        return f"number {index}"

    def load(self, indices, positions, seed):
        self.asked.append((positions, seed))
        for index in indices.tolist():
            if index in self.bad:
                raise InputError(f"number {index} must be good, got bad. Mend it.")
        return {"values": indices.clone(), "indices": indices}


def members(part):
    return part.load(torch.arange(len(part)), None, 0)["values"].tolist()


@pytest.mark.parametrize(
    ("num", "share", "held"),
    [
        (2, 0.5, 1),
        (10, 0.1, 1),
        (20, 0.05, 1),
        (100, 0.05, 5),
        (1437, 0.1, 144),
        (999, 0.7, 699),
    ],
)
def test_parts_are_disjoint_and_complete(num, share, held):
    train, held_out = hold_out(Numbers(num), share)
    assert (len(train), len(held_out)) == (num - held, held)
    assert sorted(members(train) + members(held_out)) == list(range(num))
    assert len(set(members(held_out))) == held


def test_held_out_samples_are_the_same_for_everyone():
    first = members(hold_out(Numbers(1000), 0.1)[1])
    torch.manual_seed(7)
    assert members(hold_out(Numbers(1000, has_labels=False), 0.1)[1]) == first
    assert len(set(first) & set(range(100))) < 25
    assert len(set(first) & set(range(900, 1000))) < 25
    wider = members(hold_out(Numbers(1000), 0.2)[1])
    assert set(first) < set(wider)


def test_held_out_samples_written_down_once():
    # By a fixed key: changing it would compare runs on different samples.
    assert members(hold_out(Numbers(20), 0.2)[1]) == [13, 9, 0, 18]


def test_held_out_samples_come_from_everywhere():
    held = torch.tensor(members(hold_out(Numbers(10_000), 0.1)[1]))
    per_tenth = torch.bincount(held // 1000, minlength=10)
    assert int((per_tenth - 100).abs().max()) < 40


@pytest.mark.parametrize(
    ("num", "share"), [(1, 0.5), (2, 0.1), (10, 0.01), (10, 0.99), (1, 0.99)]
)
def test_neither_part_may_be_empty(num, share):
    with pytest.raises(
        InputError, match=rf"data.held_out must .* {num}, got {share}\. Use more data"
    ):
        hold_out(Numbers(num), share)


def test_labels_and_fingerprint_follow():
    source = Numbers(50)
    for part in hold_out(source, 0.3):
        assert part.labels.tolist() == [10 * value for value in members(part)]
        assert part.labels.dtype == np.int64
        assert [part.name(index) for index in range(3)] == [
            f"number {value}" for value in members(part)[:3]
        ]
        assert (part.labels_absent, part.class_names) == ("nothing", {0: "none"})
        assert part.fingerprint == source.fingerprint
    assert hold_out(Numbers(50, has_labels=False), 0.3)[0].labels is None


def test_whether_there_are_labels_is_asked_without_looking_them_up(monkeypatch):
    train, held_out = hold_out(Numbers(50), 0.3)
    assert not has_labels(hold_out(Numbers(50, has_labels=False), 0.3)[0])
    assert train.labels is train.labels  # looked up once
    monkeypatch.setattr(Part, "_outer", None)  # which permutes all samples
    assert has_labels(train)
    assert has_labels(held_out)


def test_positions_and_seed_reach_the_source():
    source = Numbers(50)
    train, _ = hold_out(source, 0.3)
    at = torch.tensor([7, 8])
    train.load(torch.tensor([0, 1]), at, 9)
    assert source.asked == [(at, 9)]


def test_batches_follow_the_stream():
    stream = Stream(30, seed=5)
    source = Numbers(30)
    dataset = StreamDataset(source, stream)
    positions = [28, 29, 30, 31]
    batch = dataset.__getitems__(positions)
    assert batch["values"].tolist() == stream.indices(torch.tensor(positions)).tolist()
    assert batch["positions"].tolist() == positions
    assert batch["positions"].dtype == torch.int64
    assert batch["first_position"] == 28
    assert source.asked[0][0].tolist() == positions
    assert source.asked[0][1] == 5


def test_a_bad_sample_is_told_not_raised():
    dataset = StreamDataset(Numbers(10, bad=range(10)), Stream(10, 0))
    (told,) = [dataset.__getitems__([3])]
    assert list(told) == ["error"]
    assert told["error"].endswith("must be good, got bad. Mend it.")


def test_programming_errors_are_not_hidden():
    class Broken(Numbers):
        def load(self, *_):
            raise KeyError("broken")

    with pytest.raises(KeyError):
        StreamDataset(Broken(10), Stream(10, 0)).__getitems__([0])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_yields_every_sample_of_an_epoch(workers):
    dataset = StreamDataset(Numbers(24), Stream(24, 1))
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_sampler=MicroBatches(8, 4, num_steps=3),
        collate_fn=as_is,
        num_workers=workers,
    )
    values = [value for batch in loader for value in batch["values"].tolist()]
    assert values == Stream(24, 1).indices(torch.arange(24)).tolist()
    assert sorted(values) == list(range(24))
