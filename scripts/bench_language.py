"""A step of masked language modelling, against transformers' own model and collator, interleaved: medians and ratios.

Both train the same BERT (4 layers, width 512, 30,000 tokens, rows of 256) on the same tokens with AdamW; theirs as
run_mlm does it: DataCollatorForLanguageModeling, logits of all positions, loss where labels are.

Run: make bench   (part language; CPU, about two minutes; the last line is JSON)
"""

import json
import statistics
import time
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertForMaskedLM, DataCollatorForLanguageModeling

from r2mae.datasets.tokenizer import train_tokenizer
from r2mae.masking.pattern import sample_mask
from r2mae.models.language import MaskedLanguageModel, Vocabulary

SIZE, LENGTH, ROWS, ROUNDS = 30_000, 256, 8, 7
SHORT = 40  # mean tokens of a document, where rows are padded or packed


def make_model() -> BertForMaskedLM:
    torch.manual_seed(0)
    shape = {"hidden_size": 512, "num_hidden_layers": 4, "num_attention_heads": 8, "intermediate_size": 2048}
    plain = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return BertForMaskedLM(BertConfig(vocab_size=SIZE, pad_token_id=0, **shape, **plain)).train()


def saved_bytes(job: Any) -> int:
    """Bytes that autograd holds at the end of a forward pass, weights left out."""
    storages: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = job()
    del loss
    return sum(storages.values())


class Ours:
    """r2mae's step, masks included."""

    def __init__(self, lengths: list[int], ids: torch.Tensor, ratio: float) -> None:
        self.model = MaskedLanguageModel(make_model(), Vocabulary(SIZE, 4, 0, (0, 2, 3, 4)), length=ids.shape[1])
        self.model.replacement = (0.8, 0.1)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)
        starts = np.cumsum([0, *lengths[:-1]])
        self.batch: dict[str, Any] = {"input_ids": ids, "positions": torch.arange(len(ids))}
        self.batch |= {"segment_starts": starts, "segment_lengths": np.array(lengths)}
        self.ratios = torch.full((len(ids),), ratio, dtype=torch.float64)

    def forward(self) -> torch.Tensor:
        ids = self.batch["input_ids"]
        grid, positions = (ids.shape[1],), self.batch["positions"]
        mask = sample_mask("random", self.model.eligible(self.batch), self.ratios, 0, positions, grid)
        loss = self.model(self.batch | self.model.hide(self.batch, mask, 0), mask).loss
        return loss.total / loss.count


class Theirs:
    """transformers' model and collator."""

    def __init__(self, ids: torch.Tensor, ratio: float, lengths: list[int] | None = None) -> None:
        self.model = make_model()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)
        tokenizer = train_tokenizer(["a few words"], "bpe", 300)
        tokenizer.add_tokens([f"w{number}" for number in range(SIZE - len(tokenizer))])
        self.collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=ratio)
        flat = ids.flatten().tolist()
        cuts = np.cumsum([0, *(lengths or [ids.shape[1]] * len(ids))])
        rows = [flat[begin:end] for begin, end in pairwise(cuts)]
        self.rows = [{"input_ids": row, "attention_mask": [1] * len(row)} for row in rows]

    def forward(self) -> torch.Tensor:
        loss: torch.Tensor = self.model(**self.collate(self.rows)).loss
        return loss


def step(job: Any) -> None:
    job.forward().backward()
    job.optimizer.step()
    job.optimizer.zero_grad()


def compare(title: str, ours: Ours, theirs: Theirs, tokens: int) -> dict[str, float]:
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    for turn in range(ROUNDS + 1):
        for name, job in (("ours", ours), ("theirs", theirs)):
            start = time.perf_counter()
            step(job)
            if turn:
                times[name].append(time.perf_counter() - start)
    ratio = statistics.median(b / a for a, b in zip(times["ours"], times["theirs"], strict=True))
    memory = saved_bytes(theirs.forward) / saved_bytes(ours.forward)
    speed = {name: tokens / statistics.median(found) for name, found in times.items()}
    print(
        f"{title:<34} ours {speed['ours']:8,.0f}  theirs {speed['theirs']:8,.0f} tokens/s  "
        f"{ratio:5.2f} times; activations {memory:5.2f} times less",
        flush=True,
    )
    return {"times": round(ratio, 3), "memory": round(memory, 3), **{k: round(v) for k, v in speed.items()}}


def main() -> None:
    torch.manual_seed(1)
    ids = torch.randint(400, SIZE, (ROWS, LENGTH))
    found = {}
    for ratio in (0.15, 0.4):
        whole = [LENGTH] * ROWS
        found[f"grouped {ratio}"] = compare(
            f"grouped, ratio {ratio}", Ours(whole, ids, ratio), Theirs(ids, ratio), ids.numel()
        )
    draw, lengths = np.random.default_rng(0), []
    while sum(lengths) < ids.numel():
        lengths.append(int(min(draw.geometric(1 / SHORT) + 4, LENGTH - sum(lengths) % LENGTH)))
    title = f"packed against padded, {len(lengths)} texts"
    for ratio in (0.15,):
        found["padded"] = compare(title, Ours(lengths, ids, ratio), Theirs(ids, ratio, lengths), ids.numel())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
