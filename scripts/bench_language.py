"""Masked language modelling, whole training loops side by side: r2mae's engine and transformers' Trainer, in turn.

Both train the same BERT (4 layers, width 512, 30,000 tokens, rows of 256) in float32 on the same tokens, Python's own
help texts; theirs as run_mlm does it: texts grouped into rows, DataCollatorForLanguageModeling, logits everywhere. A
round is a few steps of each, data, masks, clipping and AdamW included, timed from step to step without the first two.
"padded" is their loop on one text a row, padded to the longest, counted in tokens that are no padding.

Run: make bench   (part language; CPU, about four minutes; the last line is JSON; needs accelerate, which Trainer wants)
"""

import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
import transformers

from r2mae.datasets.language_open import find_store
from r2mae.datasets.source import load_plain
from r2mae.recipe.modality import open_training_data
from r2mae.recipe.training import build_training
from r2mae.schema.recipe import parse_recipe, recipe_document
from r2mae.training.run_folder import RunFolder

SIZE, LENGTH, ROWS = 30_000, 256, 8
ROUNDS, STEPS, WARM_UP = 3, 5, 2
Loop = Callable[[], list[float]]


def recipe_of(ratio: float, document: str = "file") -> Any:
    plain = {"vocab_size": SIZE, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    shape = {"width": 512, "depth": 4, "heads": 8, "hidden": 2048}
    found = {
        "task": "pretrain",
        "modality": "language",
        "data": {
            "card": "python_topics",
            "tokenizer": {"kind": "wordpiece", "vocab_size": 8192},
            "length": LENGTH,
            "document": document,
        },
        "mask": {"ratio": {"fixed": {"ratio": ratio}}, "replacement": [0.8, 0.1]},
        "model": {"encoder": "bert", "config": plain, **shape},
        "batch": {"global_samples": ROWS},
        "optimizer": {"lr": 1e-4, "clip_norm": 1.0},
        "schedule": {"steps": 10_000},
    }
    return parse_recipe(found, "bench")


class EnoughError(Exception):
    """A loop has been timed."""


class Ours:
    """The engine on packed rows."""

    def __init__(self, recipe: Any) -> None:
        self.recipe = recipe
        self.rows, _ = open_training_data(recipe)

    def run(self) -> list[float]:
        """Seconds of each step."""
        starts: list[float] = []

        class Clock(lightning.Callback):
            def on_train_batch_start(self, *_: Any) -> None:
                starts.append(time.perf_counter())
                if len(starts) > STEPS:
                    raise EnoughError

        with tempfile.TemporaryDirectory() as place:
            folder = RunFolder(Path(place) / "run")
            training = build_training(self.recipe, folder)
            folder.start(recipe_document(self.recipe))
            training.trainer.callbacks.insert(0, Clock())
            with contextlib.suppress(EnoughError):
                training.run()
        return [after - before for before, after in zip(starts[WARM_UP:], starts[WARM_UP + 1 :], strict=False)]

    def saved(self) -> int:
        """Bytes that autograd holds at the end of a forward pass."""
        with tempfile.TemporaryDirectory() as place:
            training = build_training(self.recipe, RunFolder(Path(place) / "run"))
            model: Any = training.module.model
            batch = load_plain(self.rows, torch.arange(ROWS), torch.device("cpu")) | {"positions": torch.arange(ROWS)}
            ready = training.module.objective.prepare(model.train(), batch, 0)
            return saved_bytes(lambda: training.module.objective.loss(model, ready).total)


class Theirs:
    """transformers' Trainer on rows, or on texts that are padded."""

    def __init__(self, recipe: Any, ratio: float, rows: list[list[int]], batch: int) -> None:
        self.tokenizer = find_store(recipe.data).tokenizer
        self.collator = transformers.DataCollatorForLanguageModeling(self.tokenizer, mlm_probability=ratio)
        self.rows, self.batch = [{"input_ids": row, "attention_mask": [1] * len(row)} for row in rows], batch
        config = recipe.model.config | {"hidden_size": 512, "num_hidden_layers": 4, "num_attention_heads": 8}
        self.config = transformers.BertConfig(**config, intermediate_size=2048)

    def run(self) -> list[float]:
        """Seconds of each step."""
        starts: list[float] = []

        class Clock(transformers.TrainerCallback):
            def on_step_begin(self, *_: Any, **__: Any) -> None:
                starts.append(time.perf_counter())

        with tempfile.TemporaryDirectory() as place:
            options = transformers.TrainingArguments(
                output_dir=place,
                max_steps=STEPS + 1,
                per_device_train_batch_size=self.batch,
                learning_rate=1e-4,
                optim="adamw_torch_fused",
                use_cpu=True,
                report_to=[],
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
            )
            model, more = transformers.BertForMaskedLM(self.config), {"data_collator": self.collator}
            trainer = transformers.Trainer(model, options, train_dataset=self.rows, callbacks=[Clock()], **more)
            trainer.remove_callback(transformers.PrinterCallback)
            trainer.train()
        return [after - before for before, after in zip(starts[WARM_UP:], starts[WARM_UP + 1 :], strict=False)]

    def saved(self) -> int:
        """Bytes that autograd holds at the end of a forward pass."""
        model = transformers.BertForMaskedLM(self.config).train()
        batch = self.collator(self.rows[: self.batch])
        return saved_bytes(lambda: model(**batch).loss)


def saved_bytes(job: Callable[[], torch.Tensor]) -> int:
    """Of tensors that are no parameters, each storage once."""
    storages: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = job()
    del loss
    return sum(storages.values())


def compare(title: str, ours: Ours, theirs: Theirs, tokens: tuple[float, float]) -> dict[str, float]:
    """Medians over rounds; tokens: of a step, ours and theirs."""
    speeds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(ROUNDS):
        for (name, loop), size in zip((("ours", ours.run), ("theirs", theirs.run)), tokens, strict=True):
            speeds[name].append(size / statistics.median(loop()))
    ratio = statistics.median(a / b for a, b in zip(speeds["ours"], speeds["theirs"], strict=True))
    memory = theirs.saved() / tokens[1] / (ours.saved() / tokens[0])
    found = {name: round(statistics.median(each)) for name, each in speeds.items()}
    print(
        f"{title:<26} ours {found['ours']:7,}  theirs {found['theirs']:7,} tokens/s  {ratio:5.2f} times; "
        f"activations of a token {memory:5.2f} times less",
        flush=True,
    )
    return {"times": round(ratio, 3), "memory": round(memory, 3), **found}


def main() -> None:
    transformers.logging.set_verbosity_error()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    found, size = {}, float(ROWS * LENGTH)
    print(f"BERT 4 x 512, {SIZE:,} tokens, rows of {LENGTH}, {torch.get_num_threads()} threads, medians of {ROUNDS}")
    for ratio in (0.15, 0.4):
        recipe = recipe_of(ratio)
        ours = Ours(recipe)
        ids = load_plain(ours.rows, torch.arange(ROWS * (STEPS + 1)), torch.device("cpu"))["input_ids"]
        theirs = Theirs(recipe, ratio, ids.tolist(), ROWS)
        found[f"grouped {ratio}"] = compare(f"grouped, ratio {ratio}", ours, theirs, (size, size))
    recipe = recipe_of(0.15, "paragraph")
    ours, store = Ours(recipe), find_store(recipe.data)
    cuts = store.documents[: 40 * ROWS * (STEPS + 1)].tolist()
    texts = [store.tokens[a:b].tolist()[:LENGTH] for a, b in pairwise(cuts)]
    mean = sum(map(len, texts)) / len(texts)
    batch = round(size / mean)
    theirs = Theirs(recipe, 0.15, texts, batch)
    title = f"packed, padded ({mean:.0f} a text)"
    found["packed against padded"] = compare(title, ours, theirs, (size, mean * batch))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
