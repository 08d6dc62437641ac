"""What the engine costs, measured side by side in one run, interleaved: medians and ratios, never absolute claims.

Run: make bench   (CPU, about two minutes; the last line is JSON)
"""

import json
import statistics
import time
from collections.abc import Callable

import torch

from r2mae.datasets.stream import Stream
from r2mae.law import FixedRatio, MaskLaw, UniformRatio
from r2mae.masking.pattern import sample_mask
from r2mae.masking.ratio import draw_ratios
from r2mae.models.timm_encoder import create_encoder
from r2mae.models.vision import MaskedAutoencoder

BATCH, SIZE, PATCH = 64, 32, 4
ROUNDS = 15


def interleaved(jobs: dict[str, Callable[[int], object]]) -> dict[str, float]:
    """Median milliseconds a job, the jobs taking turns."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(ROUNDS + 2):
        for name, job in jobs.items():
            start = time.perf_counter()
            job(turn)
            if turn >= 2:
                times[name].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    torch.manual_seed(0)
    encoder = create_encoder("vit_tiny_patch16_224", image_size=SIZE, channels=3, patch_size=PATCH, depth=6)
    shape = {"decoder_depth": 1, "decoder_width": 96, "decoder_heads": 3, "normalize_targets": True}
    model = MaskedAutoencoder(encoder, **shape, pixel_mean=(0.5,) * 3, pixel_std=(0.5,) * 3)
    batch = {"images": torch.randint(0, 256, (BATCH, 3, SIZE, SIZE), dtype=torch.uint8)}
    eligible, positions = model.eligible(batch), torch.arange(BATCH)

    def step(law: MaskLaw) -> Callable[[int], object]:
        def job(turn: int) -> None:
            ratios = draw_ratios(law, 0, turn, 0.0, positions)
            mask = sample_mask("random", eligible, ratios, 0, positions, model.grid)
            loss = model(batch, mask).loss
            (loss.total / loss.count).backward()
            model.zero_grad()

        return job

    random, fixed = MaskLaw(UniformRatio(0.6, 0.9)), MaskLaw(FixedRatio(0.75))
    whole = torch.full((BATCH,), 0.75, dtype=torch.float64)
    stream = Stream(1_281_167, 0)
    results = interleaved(
        {
            "step, uniform 0.6-0.9": step(random),
            "step, fixed 0.75": step(fixed),
            "step, a ratio a sample (padded)": step(MaskLaw(UniformRatio(0.6, 0.9), scope="sample")),
            "forward of the encoder, all tokens": lambda _: encoder.forward_features(model.pixels(batch)),
            "mask alone": lambda turn: sample_mask("random", eligible, whole, 0, positions + turn, model.grid),
            "order alone": lambda turn: stream.indices(positions + turn * BATCH),
        }
    )
    baseline = results["step, fixed 0.75"]
    print(f"{BATCH} images of {SIZE} x {SIZE}, {torch.get_num_threads()} threads, medians of {ROUNDS}")
    for name, milliseconds in results.items():
        print(f"  {name:<42} {milliseconds:8.2f} ms   {milliseconds / baseline:6.3f} of a fixed-ratio step")
    print(f"bench: {json.dumps({name: round(found, 3) for name, found in results.items()})}")


if __name__ == "__main__":
    main()
