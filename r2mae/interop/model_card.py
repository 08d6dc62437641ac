"""README.md of an exported model: what a checkpoint says of itself, and how to load it."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RunFacts:
    """What is known of a trained model; None where nothing is."""

    run: str
    architecture: str
    shape: dict[str, Any]
    image_size: int
    channels: int
    law: dict[str, Any]
    pattern: str
    data_title: str
    data_licence: str
    step: int
    global_samples: int
    held_out_loss: float | None
    initial_weights: str | None
    version: str | None
    commit: str | None

    @property
    def law_words(self) -> str:
        """The law as a recipe has it."""
        return _words({key: value for key, value in self.law.items() if value is not None})


def _words(mapping: dict[str, Any]) -> str:
    """YAML on one line: JSON without its quotes."""
    return json.dumps(mapping, ensure_ascii=False).replace('"', "")


_TIMM = """import timm

model = timm.create_model("local-dir:FOLDER", pretrained=True).eval()  # images -> (B, D) features
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))"""

_TRANSFORMERS = """from transformers import AutoImageProcessor, ViTMAEForPreTraining, ViTModel

processor = AutoImageProcessor.from_pretrained("FOLDER")
whole = ViTMAEForPreTraining.from_pretrained("FOLDER")  # encoder and decoder
encoder = ViTModel.from_pretrained("FOLDER", add_pooling_layer=False)
# Features of an image, (B, D): encoder(**processor(image, return_tensors="pt")).last_hidden_state[:, 1:].mean(1)"""


def model_card(facts: RunFacts, library: str) -> str:
    """Markdown for a folder that `library`, "timm" or "transformers", reads."""
    loss = "not measured" if facts.held_out_loss is None else f"{facts.held_out_loss:.6g} (latest one measured)"
    shape = f" with `{_words(facts.shape)}`" if facts.shape else ""
    size = f"{facts.channels} x {facts.image_size} x {facts.image_size}"
    rows = {
        "architecture": f"{facts.architecture}{shape}, {size} pixels",
        "mask law": f"`{facts.law_words}`, pattern {facts.pattern}",
        "data": facts.data_title,
        "licence of the data": facts.data_licence,
        "started from": facts.initial_weights or "random weights",
        "optimizer steps": f"{facts.step:,} of {facts.global_samples:,} samples",
        "held-out loss": loss,
        "made by": f"r2mae {facts.version or '(version unknown)'}, commit {facts.commit or 'unknown'}",
    }
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    code = _TIMM if library == "timm" else _TRANSFORMERS
    front = (
        f"---\nlibrary_name: {library}\npipeline_tag: image-feature-extraction\ntags: [masked-autoencoder, r2mae]\n---"
    )
    return (
        f"{front}\n# {facts.run}\n\nPretrained by masking random shares of images (r2mae); no classifier.\n\n"
        f"| what | value |\n|---|---|\n{table}\n\n```python\n{code}\n```\n"
    )
