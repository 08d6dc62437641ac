"""What the engine costs, measured side by side in one run, interleaved: medians and ratios, never absolute claims.

Run: make bench   (CPU, about five minutes; the last line is JSON)
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from r2mae.data.stream import MicroBatches, Stream
from r2mae.law import MaskLaw, UniformRatio
from r2mae.masking.mask import Mask
from r2mae.masking.pattern import sample_mask
from r2mae.masking.ratio import draw_ratios
from r2mae.modalities.vision.models.autoencoder import MaskedAutoencoder
from r2mae.modalities.vision.models.timm_encoder import create_encoder
from r2mae.training.writer import CheckpointWriter

ROUNDS = 15
SAVES = 5
# Image size and batch, with patches of 4 x 4: 64 and 196 patches.
SIZES = {"64 patches": (32, 64), "196 patches": (56, 32)}
VARIED = MaskLaw(UniformRatio(0.6, 0.9))
A_SAMPLE = MaskLaw(UniformRatio(0.6, 0.9), scope="sample")
STRATIFIED = MaskLaw(UniformRatio(0.6, 0.9), scope="stratified")
Job = Callable[[int], object]


def interleaved(jobs: dict[str, Job]) -> dict[str, list[float]]:
    """Milliseconds of each round, a job, the jobs taking turns."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(ROUNDS + 2):
        for name, job in jobs.items():
            start = time.perf_counter()
            job(turn)
            if turn >= 2:
                times[name].append((time.perf_counter() - start) * 1e3)
    return times


def report(title: str, baseline: str, jobs: dict[str, Job]) -> dict[str, float]:
    """Print medians, and medians of each round's ratio to the baseline's neighbour in time."""
    times, medians = interleaved(jobs), {}
    print(
        f"{title}, {torch.get_num_threads()} threads, medians of {ROUNDS}; ratios to: {baseline}"
    )
    for name, found in times.items():
        medians[name] = round(statistics.median(found), 3)
        ratio = statistics.median(
            mine / its for mine, its in zip(found, times[baseline], strict=True)
        )
        print(f"  {name:<42} {medians[name]:8.2f} ms   {ratio:6.3f}")
    return medians


class Setting:
    """A ViT of width 192 and depth 6 with a light decoder, and a batch of noise."""

    def __init__(self, size: int, num_samples: int) -> None:
        torch.manual_seed(0)
        self.encoder = create_encoder(
            "vit_tiny_patch16_224", image_size=size, channels=3, patch_size=4, depth=6
        )
        shape = {
            "decoder_depth": 1,
            "decoder_width": 96,
            "decoder_heads": 3,
            "normalize_targets": True,
        }
        self.model = MaskedAutoencoder(
            self.encoder, **shape, pixel_mean=(0.5,) * 3, pixel_std=(0.5,) * 3
        )
        self.batch = {
            "indices": torch.arange(num_samples),
            "images": torch.randint(
                0, 256, (num_samples, 3, size, size), dtype=torch.uint8
            ),
        }
        self.eligible, self.positions = (
            self.model.masking.eligible(self.batch),
            torch.arange(num_samples),
        )

    def mask(self, ratios: torch.Tensor) -> Mask:
        return sample_mask(
            "random", self.eligible, ratios, 0, self.positions, self.model.grid
        )

    def ratios(self, law: MaskLaw, turn: int) -> torch.Tensor:
        return draw_ratios(
            law, 0, turn, 0.0, self.positions + turn * len(self.positions)
        )

    def step(self, mask: Mask) -> None:
        loss = self.model(self.batch, mask).loss
        (loss.total / loss.count).backward()
        self.model.zero_grad()


def parts(setting: Setting) -> dict[str, float]:
    """Steps under step-wise laws, and what is around them."""
    model, positions = setting.model, setting.positions
    whole = torch.full(positions.shape, 0.75, dtype=torch.float64)
    stream = Stream(1_281_167, 0)
    jobs: dict[str, Job] = {
        "step, fixed 0.75": lambda _: setting.step(setting.mask(whole)),
        "forward of the encoder, all tokens": lambda _: (
            setting.encoder.forward_features(model.pixels(setting.batch))
        ),
        "mask alone": lambda turn: setting.mask(setting.ratios(A_SAMPLE, turn)),
        "order alone": lambda turn: stream.indices(positions + turn * len(positions)),
    }
    return report("64 patches, batch 64", "step, fixed 0.75", jobs)


def laws(setting: Setting) -> dict[str, float]:
    """A random law against the fixed ratio of the same mean: every level of the law once, so that no draw decides."""
    levels = [
        torch.full(setting.positions.shape, ratio, dtype=torch.float64)
        for ratio in VARIED.table(0.0).tolist()
    ]
    whole = torch.full(setting.positions.shape, VARIED.mean(), dtype=torch.float64)

    def run(ratios: list[torch.Tensor]) -> None:
        for ratio in ratios:
            setting.step(setting.mask(ratio))

    jobs: dict[str, Job] = {
        "8 steps, fixed 0.75": lambda _: run([whole] * len(levels)),
        "8 steps, uniform 0.6-0.9, a level each": lambda _: run(levels),
    }
    return report("64 patches, batch 64", "8 steps, fixed 0.75", jobs)


def lengths(name: str, setting: Setting) -> dict[str, float]:
    """Steps with a ratio a sample, against one length with as many visible tokens in all."""

    def uniform(turn: int) -> None:
        ratios = setting.ratios(A_SAMPLE, turn)
        setting.step(setting.mask(ratios.mean().expand(len(ratios))))

    def padded(turn: int) -> None:
        setting.step(
            setting.mask(setting.ratios(A_SAMPLE, turn))._replace(visible_counts=None)
        )

    jobs: dict[str, Job] = {
        "step, uniform length at the same mean": uniform,
        "step, a ratio a sample (packed)": lambda turn: setting.step(
            setting.mask(setting.ratios(A_SAMPLE, turn))
        ),
        "step, a ratio a sample (padded)": padded,
        "step, stratified (packed)": lambda turn: setting.step(
            setting.mask(setting.ratios(STRATIFIED, turn))
        ),
    }
    title = f"{name}, batch {len(setting.positions)}, ratio uniform 0.6-0.9"
    medians = report(title, "step, uniform length at the same mean", jobs)
    return {f"{name}: {job}": median for job, median in medians.items()}


def saving() -> dict[str, float]:
    """The pause that saving 100 M parameters puts into training, against one copy of the same state in memory."""
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        shapes = {f"layer_{number}": (2048, 2048) for number in range(24)}
        weights = {name: torch.randn(shape) for name, shape in shapes.items()}
        moments = {
            f"{name}/{key}": torch.randn(shape)
            for name, shape in shapes.items()
            for key in ("exp_avg", "exp_avg_sq")
        }
        held = {
            name: torch.empty_like(tensor)
            for name, tensor in (weights | moments).items()
        }
        path, writer, pauses = Path(folder) / "step_1", CheckpointWriter(), []

        def copy(_: int) -> None:
            for name, tensor in (weights | moments).items():
                held[name].copy_(tensor)

        def save(_: int) -> None:
            writer.save(path, weights, moments, {"step": 1}, lambda: None)

        jobs = {"one copy in memory": copy, "pause of a save": save}
        times: dict[str, list[float]] = {name: [] for name in jobs}
        for turn in range(SAVES + 1):
            for name, job in jobs.items():
                start = time.perf_counter()
                job(turn)
                (times[name] if turn else pauses).append(
                    (time.perf_counter() - start) * 1e3
                )
                writer.wait()  # between rounds: a write under way would slow down the other's copy
        parameters = sum(tensor.numel() for tensor in weights.values()) / 1e6
    medians = {
        name: round(statistics.median(found), 1) for name, found in times.items()
    }
    ratio = statistics.median(
        mine / its
        for mine, its in zip(
            times["pause of a save"], times["one copy in memory"], strict=True
        )
    )
    print(
        f"saving {parameters:.0f} M parameters and their moments, medians of {SAVES}: {medians}, ratio {ratio:.2f}"
    )
    print(f"  the first save, which takes its memory: {pauses[-1]:.0f} ms")
    return medians | {"save/copy": round(ratio, 3)}


def starting() -> dict[str, float]:
    """Until the first batch is read, at the stream's beginning and a billion positions on."""
    jobs: dict[str, Job] = {}
    for name, step in (
        ("first batch at position 0", 0),
        ("first batch at position 10^9", 10**9 // 128),
    ):
        batches = MicroBatches(128, 128, 1 << 40, step)
        jobs[name] = lambda turn, batches=batches: Stream(1_281_167, turn).indices(
            torch.tensor(next(iter(batches)))
        )
    return report("starting", "first batch at position 0", jobs)


def main() -> None:
    results = saving() | starting()
    small = Setting(*SIZES["64 patches"])
    results |= parts(small) | laws(small)
    for name, size in SIZES.items():
        results |= lengths(name, Setting(*size))
    print(f"bench: {json.dumps(results)}")


if __name__ == "__main__":
    main()
