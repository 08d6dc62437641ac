"""README.md of an exported model: its training, and how to load it."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RunFacts:
    """Facts about a trained model; None where unknown."""

    run: str
    architecture: str
    shape: dict[str, Any]
    image_size: tuple[int, int]  # height and width
    channels: int
    trained: dict[str, str]  # the objective, as rows of the card
    data_title: str
    data_licence: str
    num_classes: int | None
    step: int
    global_samples: int
    held_out_loss: float | None
    initial_weights: str | None
    version: str | None
    commit: str | None


def inline_yaml(mapping: dict[str, Any]) -> str:
    """YAML on one line: JSON without its quotes."""
    return json.dumps(mapping, ensure_ascii=False).replace('"', "")


_TIMM = """import timm

model = timm.create_model("local-dir:FOLDER", pretrained=True).eval()  # images -> (B, D) features
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))"""

_TRANSFORMERS = """from transformers import AutoImageProcessor, ViTMAEForPreTraining, ViTModel

processor = AutoImageProcessor.from_pretrained("FOLDER")
autoencoder = ViTMAEForPreTraining.from_pretrained("FOLDER")  # encoder and decoder
encoder = ViTModel.from_pretrained("FOLDER", add_pooling_layer=False)
# Features of an image, (B, D): encoder(**processor(image, return_tensors="pt")).last_hidden_state[:, 1:].mean(1)"""


def model_card(facts: RunFacts, library: str) -> str:
    """Markdown for a folder that `library`, "timm" or "transformers", reads."""
    loss = (
        "not measured"
        if facts.held_out_loss is None
        else f"{facts.held_out_loss:.6g} (latest one measured)"
    )
    shape = f" with `{inline_yaml(facts.shape)}`" if facts.shape else ""
    size = f"{facts.channels} x {facts.image_size[0]} x {facts.image_size[1]}"
    rows = {
        "architecture": f"{facts.architecture}{shape}, {size} pixels",
        **facts.trained,
        "data": facts.data_title,
        "licence of the data": facts.data_licence,
        "started from": facts.initial_weights or "random weights",
        "optimizer steps": f"{facts.step:,} of {facts.global_samples:,} samples",
        "held-out loss": loss,
        "made by": f"r2mae {facts.version or '(version unknown)'}, commit {facts.commit or 'unknown'}",
    }
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    code = _TIMM if library == "timm" else _TRANSFORMERS
    task = "image-classification" if facts.num_classes else "image-feature-extraction"
    front = f"---\nlibrary_name: {library}\npipeline_tag: {task}\ntags: [masked-autoencoder, r2mae]\n---"
    what = (
        "Fine-tuned on labels"
        if facts.num_classes
        else "Pretrained by masking random fractions of images"
    )
    code = (
        code.replace("(B, D) features", "(B, C) logits") if facts.num_classes else code
    )
    head = f"{front}\n# {facts.run}\n\n{what} (r2mae).\n\n"
    return f"{head}| what | value |\n|---|---|\n{table}\n\n```python\n{code}\n```\n"
