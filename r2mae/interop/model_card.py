"""README.md of an exported model: its training, its data, and how to load it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r2mae.data.card import load_card
from r2mae.training.metric_log import LOSS_AT, read_metrics

_MOST_CLASSES = 20  # named in a card


def model_card(loaded: Any, library: str, task: str, code: str) -> str:
    """Markdown with facts from the checkpoint's manifest and the data card.

    library, task: as the Hugging Face hub names them; task may be "".
    code: Python that loads the folder.
    """
    name, is_tuned = loaded.folder.name, loaded.num_classes is not None
    front = [f"library_name: {library}"]
    front += [f"pipeline_tag: {task}"] if task else []
    front += [f"tags: [masked-autoencoder, r2mae, {loaded.recipe.modality}]"]
    what = "Pretrained by masking random fractions of the input"
    if is_tuned:
        what = "Fine-tuned on labels"
    rows = card_rows(loaded)
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    head = "---\n" + "\n".join(front) + f"\n---\n# {name}\n\n{what} (r2mae).\n\n"
    return f"{head}| what | value |\n|---|---|\n{table}\n\n```python\n{code}\n```\n"


def card_rows(loaded: Any) -> dict[str, str]:
    """Title -> fact, from the checkpoint's manifest, the data card and the metrics."""
    manifest, recipe = loaded.manifest, loaded.recipe
    section = manifest["recipe"]["model"]
    kept = ("init_from", "tokenizer")  # paths, or a row of their own
    shape = {key: value for key, value in section.items() if key not in kept}
    data = manifest["data"]
    rows = {"model": f"`{_inline_yaml(shape)}`", **_objective(loaded)}
    rows |= _card_facts(recipe.data)
    rows |= {
        "training samples": f"{data['samples']:,}, fingerprint {data['fingerprint']}",
        "started from": _source_name(section.get("init_from")),
        "optimizer steps": f"{manifest['step']:,} of "
        f"{recipe.batch.global_samples:,} samples",
        **_measured(loaded),
        "made by": f"r2mae {manifest['versions'].get('r2mae', '(version unknown)')}, "
        f"commit {manifest['commit'] or 'unknown'}",
    }
    return rows


def _objective(loaded: Any) -> dict[str, str]:
    """The mask law of a pretraining run, or the classes or other outputs of a fine-tuned one."""
    manifest = loaded.manifest
    if loaded.num_classes is None:
        law = {key: value for key, value in manifest["law"].items() if value}
        pattern = loaded.recipe.mask.pattern
        return {"mask law": f"`{_inline_yaml(law)}`, pattern {pattern}"}
    names = manifest["class_names"]
    more = "" if len(names) <= _MOST_CLASSES else f" and {len(names) - _MOST_CLASSES}"
    title = "classes" if loaded.recipe.tune.target.has_classes else "outputs"
    return {title: ", ".join(names[:_MOST_CLASSES]) + more}


def _card_facts(data: Any) -> dict[str, str]:
    if not hasattr(data, "card"):
        return {}
    card = load_card(data.card)
    return {"data": card.title, "licence of the data": card.licence}


def _latest_loss(loaded: Any) -> str:
    """The held-out loss at the checkpoint's step, or at the last one before that was validated."""
    step, loss = loaded.manifest["step"], loaded.manifest.get("validation_loss")
    # Manifests without metrics are older, and may have the loss of an earlier step.
    if loss is None or "metrics" not in loaded.manifest:
        measured = {
            number: values["validation/loss"]
            for number, values in read_metrics(loaded.folder).items()
            if number <= step and "validation/loss" in values
        }
        if not measured:
            return "not measured"
        step = max(measured)
        loss = measured[step]
    return f"{loss:.6g} (at step {step})"


def _measured(loaded: Any) -> dict[str, str]:
    """Held-out loss at the step and by mask ratio; test metrics of a fine-tuned run."""
    rows = {"held-out loss": _latest_loss(loaded)}
    latest: dict[str, float] = {}
    for step, values in sorted(read_metrics(loaded.folder).items()):
        if step <= loaded.manifest["step"]:
            latest |= {
                metric.removeprefix(LOSS_AT): value
                for metric, value in values.items()
                if metric.startswith(LOSS_AT)
            }
    if latest:
        by_ratio = ", ".join(f"{ratio}: {value:.4g}" for ratio, value in latest.items())
        rows["held-out loss by mask ratio"] = by_ratio
    test = loaded.folder.read_status().get("test", {})
    numbers = {key: value for key, value in test.items() if isinstance(value, float)}
    return rows | {f"test {key}": f"{value:.4f}" for key, value in numbers.items()}


def _source_name(source: str | None) -> str:
    """Only the last component of a local path: the rest describes a machine."""
    if source is None:
        return "random weights"
    return Path(source).resolve().name if Path(source).exists() else source


def _inline_yaml(mapping: Mapping[str, Any]) -> str:
    """YAML on one line, without entries that are null."""
    entries = {key: value for key, value in mapping.items() if value is not None}
    return json.dumps(entries, ensure_ascii=False).replace('"', "")
