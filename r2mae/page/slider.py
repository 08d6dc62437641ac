"""A slider that shows one of several parts of a page, such as one for each mask ratio."""

import html
from collections.abc import Mapping

RATIOS = tuple(n / 10 for n in range(1, 10))
# Of all sliders of a page.
SCRIPT = """
for (const slider of document.querySelectorAll(".slider")) {
  const input = slider.querySelector("input"), output = slider.querySelector("output");
  const frames = [...slider.querySelectorAll(":scope > .frame")];
  input.addEventListener("input", () => {
    frames.forEach((frame, n) => { frame.hidden = n !== Number(input.value); });
    output.textContent = frames[input.value].dataset.label;
  });
}
"""


def slider(name: str, frames: Mapping[str, str], start: int = 0) -> str:
    """A labelled slider over frames, of which frame number `start` is shown at first.

    frames: label -> HTML. Without JavaScript only the first frame shown is visible.
    """
    labels = [html.escape(label, quote=True) for label in frames]
    parts = []
    for number, (label, frame) in enumerate(zip(labels, frames.values(), strict=True)):
        hidden = "" if number == start else " hidden"
        parts.append(f'<div class="frame" data-label="{label}"{hidden}>{frame}</div>')
    control = (
        f'<input type="range" min="0" max="{len(labels) - 1}" value="{start}" '
        f'step="1" autocomplete="off">'
    )
    head = (
        f"<label>{html.escape(name)} {control}<output>{labels[start]}</output></label>"
    )
    return f'<div class="slider">{head}{"".join(parts)}</div>'


def ratio_slider(frames: Mapping[float, str]) -> str:
    """A slider over mask ratios, of which the one next to 0.5 is shown at first."""
    ratios = list(frames)
    start = min(range(len(ratios)), key=lambda number: abs(ratios[number] - 0.5))
    named = {f"{ratio:g}": frame for ratio, frame in frames.items()}
    return slider("mask ratio", named, start)
