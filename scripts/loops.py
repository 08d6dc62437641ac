"""Whole training loops side by side, in turn: r2mae's engine and transformers' Trainer on the same model and tokens.

Timed from step to step, data, masks, clipping and AdamW included, without the first two. Theirs as run_mlm does it:
DataCollatorForLanguageModeling, logits everywhere. Wants accelerate, which Trainer does.
"""

import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
import transformers

from r2mae.data.source import load_plain
from r2mae.recipe.assembly import open_training_data
from r2mae.recipe.training import build_training
from r2mae.schema.recipe import recipe_document
from r2mae.training.run_folder import RunFolder

ROUNDS, STEPS, WARM_UP = 3, 5, 2


class EnoughError(Exception):
    """A loop has been timed."""


class Ours:
    """The engine on packed rows."""

    def __init__(self, recipe: Any) -> None:
        self.recipe, self.samples = recipe, recipe.batch.global_samples
        self.rows, _ = open_training_data(recipe)

    def ids(self) -> list[list[int]]:
        """Rows of tokens, as many as a loop reads."""
        found = load_plain(
            self.rows, torch.arange(self.samples * (STEPS + 1)), torch.device("cpu")
        )
        return found["input_ids"].tolist()  # type: ignore[no-any-return]

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
        return [
            after - before
            for before, after in zip(
                starts[WARM_UP:], starts[WARM_UP + 1 :], strict=False
            )
        ]

    def saved(self) -> int:
        """Bytes that autograd holds at the end of a forward pass."""
        with tempfile.TemporaryDirectory() as place:
            training = build_training(self.recipe, RunFolder(Path(place) / "run"))
            model: Any = training.module.model
            places = torch.arange(self.samples)
            batch = load_plain(self.rows, places, torch.device("cpu")) | {
                "positions": places
            }
            ready = training.module.objective.prepare(batch, 0)
            return saved_bytes(
                lambda: training.module.objective.loss(model, ready).total
            )


class Theirs:
    """transformers' Trainer on rows, or on texts that are padded."""

    def __init__(
        self,
        config: Any,
        tokenizer: Any,
        ratio: float,
        rows: list[list[int]],
        batch: int,
    ) -> None:
        self.config, self.batch = config, batch
        self.collator = transformers.DataCollatorForLanguageModeling(
            tokenizer, mlm_probability=ratio
        )
        self.rows = [
            {"input_ids": row, "attention_mask": [1] * len(row)} for row in rows
        ]

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
            model, more = (
                transformers.AutoModelForMaskedLM.from_config(self.config),
                {"data_collator": self.collator},
            )
            trainer = transformers.Trainer(
                model, options, train_dataset=self.rows, callbacks=[Clock()], **more
            )
            trainer.remove_callback(transformers.PrinterCallback)
            trainer.train()
        return [
            after - before
            for before, after in zip(
                starts[WARM_UP:], starts[WARM_UP + 1 :], strict=False
            )
        ]

    def saved(self) -> int:
        """Bytes that autograd holds at the end of a forward pass."""
        model = transformers.AutoModelForMaskedLM.from_config(self.config).train()
        batch = self.collator(self.rows[: self.batch])
        return saved_bytes(lambda: model(**batch).loss)


def saved_bytes(job: Callable[[], torch.Tensor]) -> int:
    """Of tensors that are no parameters, each storage once."""
    storages: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            storages[tensor.untyped_storage().data_ptr()] = (
                tensor.untyped_storage().nbytes()
            )
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = job()
    del loss
    return sum(storages.values())


def compare(
    title: str, ours: Ours, theirs: Theirs, tokens: tuple[float, float]
) -> dict[str, float]:
    """Medians over rounds, printed; tokens: of a step, ours and theirs."""
    transformers.logging.set_verbosity_error()
    speeds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(ROUNDS):
        for (name, loop), size in zip(
            (("ours", ours.run), ("theirs", theirs.run)), tokens, strict=True
        ):
            speeds[name].append(size / statistics.median(loop()))
    ratio = statistics.median(
        a / b for a, b in zip(speeds["ours"], speeds["theirs"], strict=True)
    )
    memory = theirs.saved() / tokens[1] / (ours.saved() / tokens[0])
    found = {name: round(statistics.median(each)) for name, each in speeds.items()}
    print(
        f"{title:<26} ours {found['ours']:7,}  theirs {found['theirs']:7,} tokens/s  {ratio:5.2f} times; "
        f"activations of a token {memory:5.2f} times less",
        flush=True,
    )
    return {"times": round(ratio, 3), "memory": round(memory, 3), **found}
