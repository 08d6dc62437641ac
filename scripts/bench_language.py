"""Masked language modelling, whole training loops side by side: r2mae's engine and transformers' Trainer, in turn.

Both train the same BERT (4 layers, width 512, 30,000 tokens, rows of 256) in float32 on the same tokens, Python's own
help texts; theirs as run_mlm does it, texts grouped into rows (see loops.py). "padded" is their loop
on one text a row, padded to the longest, counted in tokens that are no padding.

Run: make bench   (part language; CPU, about seven minutes; the last line is JSON; Trainer wants accelerate)
"""

import json
import os
from itertools import pairwise
from typing import Any

import torch
from loops import ROUNDS, STEPS, Ours, Theirs, compare

from r2mae.modalities.language.assembly import model_config
from r2mae.modalities.language.splits import find_store
from r2mae.modalities.language.tokenizer import recipe_tokenizer
from r2mae.recipe.load import parse_recipe

SIZE, LENGTH, ROWS = 30_000, 256, 8


def recipe_of(ratio: float, document: str = "file") -> Any:
    plain = {
        "vocab_size": SIZE,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
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


def main() -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    found, size = {}, float(ROWS * LENGTH)
    print(
        f"BERT 4 x 512, {SIZE:,} tokens, rows of {LENGTH}, {torch.get_num_threads()} threads, medians of {ROUNDS}"
    )
    for ratio in (0.15, 0.4):
        recipe = recipe_of(ratio)
        ours, tokenizer = Ours(recipe), find_store(recipe.data).tokenizer
        theirs = Theirs(
            model_config(recipe, recipe_tokenizer(recipe)),
            tokenizer,
            ratio,
            ours.ids(),
            ROWS,
        )
        found[f"grouped {ratio}"] = compare(
            f"grouped, ratio {ratio}", ours, theirs, (size, size)
        )
    recipe = recipe_of(0.15, "paragraph")
    ours, store = Ours(recipe), find_store(recipe.data)
    cuts = store.documents[: 40 * ROWS * (STEPS + 1)].tolist()
    texts = [store.tokens[a:b].tolist()[:LENGTH] for a, b in pairwise(cuts)]
    mean = sum(map(len, texts)) / len(texts)
    batch = round(size / mean)
    theirs = Theirs(
        model_config(recipe, recipe_tokenizer(recipe)),
        store.tokenizer,
        0.15,
        texts,
        batch,
    )
    title = f"packed, padded ({mean:.0f} a text)"
    found["packed against padded"] = compare(title, ours, theirs, (size, mean * batch))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
