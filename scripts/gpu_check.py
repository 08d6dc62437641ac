"""What only a GPU can show. Parts run in processes of their own, so that all of them run.

Run by gpu_check.sh. `--rehearse` runs the parts on a fake device, without a GPU: values,
times and memory mean nothing then, but mistakes in the code show. Not rehearsed: what
needs values, a backward pass or a trained run.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

ROOT = Path(__file__).resolve().parent.parent
TOTAL_SECONDS = 530  # for all parts; those that would begin later are skipped
PART_SECONDS = 240  # for one of them, or what is left of the total
DIGITS = str(ROOT / "recipes/vision/digits_demo.yaml")
DIGITS_FINETUNE = str(ROOT / "recipes/vision/digits_finetune.yaml")
TOPICS = str(ROOT / "recipes/language/topics_demo.yaml")
ON_GPU = ("hardware.accelerator=gpu", "hardware.precision=bf16-mixed")
COMPILED = (*ON_GPU, "hardware.compile=true", "optimizer.clip_norm=1.0")
SHORT = ("schedule.steps=100", "schedule.warmup_steps=10")


class Gpu:
    """The device of a part, real or fake."""

    def __init__(self, *, fake: bool) -> None:
        self.fake = fake
        self.device: Any = None  # the fake one

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        """The device, with stand-ins for what a driver would answer."""
        if not self.fake:
            yield
            return
        from r2mae.training.fake_device import fake_device

        silent = (
            ("synchronize", None),
            ("set_sync_debug_mode", None),
            ("max_memory_allocated", 0),
            ("reset_peak_memory_stats", None),
            ("get_device_name", "fake"),
        )
        with contextlib.ExitStack() as stack:
            for name, answer in silent:
                stack.enter_context(
                    patch(f"torch.cuda.{name}", lambda *_, answer=answer: answer)
                )
            self.device = stack.enter_context(fake_device())
            yield

    def backward(self, loss: Any) -> None:
        """Gradients; there are none on a fake device."""
        if not self.fake:
            loss.backward()

    def value(self, tensor: Any) -> float | None:
        """The value of a tensor (); None on a fake device."""
        return None if self.fake else float(tensor)

    def put(self, model: Any) -> Any:
        """A model in train mode on the device."""
        if self.fake:
            self.device.put(model)
            return model.train()
        return model.train().cuda()

    def turns(self, number: int) -> int:
        """Number of times to repeat what is timed."""
        return 2 if self.fake else number

    def run(
        self, subcommand: str, *arguments: str, settings: tuple[str, ...] = ()
    ) -> None:
        """`r2mae SUBCOMMAND ...`; on a fake device the recipe is rehearsed instead."""
        overrides = [part for one in settings for part in ("--set", one)]
        command = [sys.executable, "-m", "r2mae", subcommand, *arguments, *overrides]
        if not self.fake:
            subprocess.run(command, check=True, env=_environment())
            return
        if (
            subcommand == "evaluate"
        ):  # its options depend on the run, which is not there
            return
        from r2mae.cli.main import parse

        parse([subcommand, *arguments, *overrides])  # every option exists
        check = ["check", arguments[0], *overrides, "--rehearse", "--json"]
        subprocess.run(
            [sys.executable, "-m", "r2mae", *check],
            check=True,
            env=_environment(),
            stdout=subprocess.DEVNULL,
        )


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


def device(_: Gpu) -> dict[str, Any]:
    """The name and compute capability of the GPU."""
    capability = ".".join(map(str, torch.cuda.get_device_capability(0)))
    name = torch.cuda.get_device_name(0)
    return {"name": name, "capability": capability, "torch": torch.__version__}


def masks(gpu: Gpu) -> dict[str, Any]:
    """The same bits on CPU and GPU."""
    from r2mae.masking.pattern import sample_mask
    from r2mae.masking.rng import RandomStream, bits

    position, token = torch.arange(4096)[:, None], torch.arange(196)
    cuda = torch.device("cuda", 0)
    here = bits(7, RandomStream.MASK, position, token)
    there = bits(7, RandomStream.MASK, position.to(cuda), token.to(cuda))
    if not gpu.fake:
        assert torch.equal(here, there.cpu())
    eligible = torch.ones(4096, 196, dtype=torch.bool)
    ratios = torch.rand(4096, dtype=torch.float64) * 0.98 + 0.01
    rows = position[:, 0]
    for pattern in ("random", "block"):
        mask = sample_mask(pattern, eligible, ratios, 0, rows, (14, 14))
        if not gpu.fake:  # a fake mask has no counts
            on_device = (eligible.to(cuda), ratios, 0, rows.to(cuda), (14, 14))
            other = sample_mask(pattern, *on_device)
            assert torch.equal(mask.is_masked, other.is_masked.cpu()), pattern
    return {}


def memory(gpu: Gpu) -> dict[str, Any]:
    """Peak memory of a step over that of its rehearsal; an error if the host waits in it."""
    from r2mae.recipe.load import load_recipe
    from r2mae.recipe.rehearse import first_step, rehearse

    result: dict[str, Any] = {}
    for name in ("digits_demo", "topics_demo", "motifs_demo", "pbmc68k_demo"):
        recipe = load_recipe(name, ["hardware.precision=bf16-mixed"])
        # One fake device cannot rehearse on another.
        expected = None if gpu.fake else rehearse(recipe)
        engine, batch = first_step(recipe, 1)
        optimizer = engine.build_optimizer(gpu.put(engine.model))
        engine.step.copy_batch_norm()
        peaks = []
        for _ in range(gpu.turns(3)):
            torch.cuda.reset_peak_memory_stats()
            moved = _moved(batch)
            torch.cuda.synchronize()
            torch.cuda.set_sync_debug_mode("error")
            engine.step.start(moved, optimizer)
            with torch.autocast("cuda", dtype=torch.bfloat16):
                loss = engine.step.forward(moved)
            gpu.backward(loss)
            if not gpu.fake:
                engine.step.finish_gradients(optimizer, 1, 1)
                optimizer.step()
                engine.step.finish()
            torch.cuda.set_sync_debug_mode("default")
            optimizer.zero_grad()
            peaks.append(torch.cuda.max_memory_allocated())
        if expected is not None:
            ratio = round(peaks[-1] / expected.nbytes, 3)
            result[name] = {"peak_over_rehearsed": ratio, "waits": expected.waits}
    return result


def demo(gpu: Gpu) -> dict[str, Any]:
    """The demo recipe in bf16, compiled and clipped; probes; fine-tuning; other models."""
    gpu.run("pretrain", DIGITS, "--name", "gpu", settings=COMPILED)
    probe = ("--task", "linear_probe", "--labels-per-class", "10", "--baselines")
    gpu.run("evaluate", "runs/gpu", *probe)
    start = (*COMPILED, "model.init_from=runs/gpu")
    gpu.run("finetune", DIGITS_FINETUNE, "--seeds", "2", settings=start)
    gpu.run(
        "pretrain",
        DIGITS,
        "--name",
        "sample",
        settings=(*COMPILED, *SHORT, "mask.scope=sample"),
    )
    shape = ("data.image_size=32", "model={encoder: resnet18, patch_size: 8}")
    gpu.run(
        "pretrain", DIGITS, "--name", "resnet", settings=(*COMPILED, *SHORT, *shape)
    )
    return {}


def resume(gpu: Gpu) -> dict[str, Any]:
    """Killed and continued: bit-identical in bf16, compiled, with accumulation."""
    exact = (*COMPILED, "hardware.deterministic=true")
    kills = ("--kill-at", "7,13", "--devices", "1")
    micro = (*exact, "batch.per_device_samples=32")
    gpu.run("verify-resume", DIGITS, *kills, settings=micro)
    gpu.run("verify-resume", TOPICS, *kills, settings=exact)
    return {}


def saving(gpu: Gpu) -> dict[str, Any]:
    """How long training waits for a save of 1.2 GB, against one copy of the state.

    The rehearsal saves small tensors of the CPU.
    """
    from r2mae.training.checkpoint import MODEL, OPTIMIZER
    from r2mae.training.writer import CheckpointWriter

    device, size = ("cpu", 8) if gpu.fake else ("cuda", 2048)
    weights = {f"layer_{n}": torch.randn(size, size, device=device) for n in range(24)}
    moments = {
        f"{name}/{key}": torch.randn_like(tensor)
        for name, tensor in weights.items()
        for key in ("exp_avg", "exp_avg_sq")
    }
    files = {MODEL: weights, OPTIMIZER: moments}
    state = weights | moments
    pinned = not gpu.fake
    held = {name: torch.empty(t.shape, pin_memory=pinned) for name, t in state.items()}
    writer = CheckpointWriter()
    copies, pauses = [], []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(6):
            torch.cuda.synchronize()
            start = time.perf_counter()
            for name, tensor in state.items():
                held[name].copy_(tensor, non_blocking=True)
            torch.cuda.synchronize()
            middle = time.perf_counter()
            path = Path(folder) / f"step_{turn}"
            writer.save(path, files, {"step": turn}, lambda: None)
            copies.append(middle - start)
            pauses.append(time.perf_counter() - middle)
            writer.wait()
    return {"copy_ms": _ms(copies[1:]), "pause_ms": _ms(pauses[1:])}


def packed(gpu: Gpu) -> dict[str, Any]:
    """Attention of unequal lengths: the variable-length kernel against padded groups."""
    from r2mae.models import packed as module

    torch.manual_seed(0)
    has_kernel, cuda = module.has_kernel, torch.device("cuda", 0)
    lengths = torch.randint(20, 80, (256,)).tolist()
    packing = module.build_packing(lengths, cuda)
    exact = torch.randn(len(packing.slots), 3, 12, 64, device=cuda)
    weight = torch.randn(len(packing.slots), 768, device=cuda)
    assert has_kernel(exact.bfloat16(), 0.0)
    assert not has_kernel(exact, 0.0)

    def attend(dtype: torch.dtype, *, kernel: bool) -> Any:
        module.has_kernel = has_kernel if kernel else lambda *_: False
        qkv = exact.to(dtype).detach().requires_grad_()
        output = module.packed_attention(qkv, packing)
        gpu.backward((output * weight).sum())
        return output.detach().float()

    reference = attend(torch.float32, kernel=False)
    result: dict[str, Any] = {}
    for kernel in (True, False):
        difference = attend(torch.bfloat16, kernel=kernel) - reference
        error = gpu.value(difference.norm() / reference.norm())
        assert error is None or error < 0.02, error
        times = []
        for _ in range(gpu.turns(30)):
            torch.cuda.synchronize()
            start = time.perf_counter()
            torch.cuda.set_sync_debug_mode("error")
            module.build_packing(packing.lengths, cuda)
            attend(torch.bfloat16, kernel=kernel)
            torch.cuda.set_sync_debug_mode("default")
            torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        name = "kernel" if kernel else "groups"
        result[name] = {"ms": _ms(times[len(times) // 3 :]), "relative_error": error}
    return result


def images(gpu: Gpu) -> dict[str, Any]:
    """Images a second of ViT-B/16 at 224 pixels: 256 a step, bf16, compiled, no loading."""
    from r2mae.law import FixedRatio, MaskLaw, UniformRatio
    from r2mae.modalities.vision.models.autoencoder import MaskedAutoencoder
    from r2mae.modalities.vision.models.timm_encoder import create_encoder
    from r2mae.training.objective import MaskedPrediction

    samples = 4 if gpu.fake else 256
    encoder = create_encoder("vit_base_patch16_224", image_size=224, channels=3)
    model = MaskedAutoencoder(
        encoder,
        normalize_targets=True,
        decoder_depth=8,
        decoder_width=512,
        decoder_heads=16,
        pixel_mean=(0.5,) * 3,
        pixel_std=(0.5,) * 3,
    )
    model = _on_gpu(gpu, model)
    shape = (samples, 3, 224, 224)
    pictures = torch.randint(0, 256, shape, dtype=torch.uint8, device="cuda")
    at = {"positions": torch.arange(samples), "indices": torch.arange(samples)}
    laws = {
        "fixed 0.75": MaskLaw(FixedRatio(0.75)),
        "uniform 0.6-0.9": MaskLaw(UniformRatio(0.6, 0.9)),
        "uniform 0.6-0.9, a draw a sample": MaskLaw(
            UniformRatio(0.6, 0.9), scope="sample"
        ),
    }
    rates: dict[str, Any] = {}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    for name, law in laws.items():
        objective = MaskedPrediction(law, "random", 0, 1000, model.masking)
        batches = [objective.prepare(at, step) for step in range(gpu.turns(40))]
        rates[name] = _rate(
            gpu, model, optimizer, batches, {"images": pictures}, samples
        )
    return rates | {"peak_gib": torch.cuda.max_memory_allocated() / 2**30}


def texts(gpu: Gpu) -> dict[str, Any]:
    """Tokens a second of ModernBERT-base on packed rows of 1,024 tokens, bf16, compiled."""
    import numpy as np
    from transformers import AutoModelForMaskedLM, ModernBertConfig

    from r2mae.law import MaskLaw, UniformRatio
    from r2mae.models.language_encoder import Vocabulary
    from r2mae.models.masked_language import MaskedLanguageModel
    from r2mae.training.objective import MaskedPrediction

    rows, length, size = (2 if gpu.fake else 64), 1024, 50368
    special = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3}
    ends = {"bos_token_id": 2, "eos_token_id": 3}
    config = ModernBertConfig(vocab_size=size, **special, **ends)
    network = AutoModelForMaskedLM.from_config(config)
    vocabulary = Vocabulary(size, 4, 0, (0, 2, 3, 4))
    model = MaskedLanguageModel(
        network, vocabulary, length=length, replacement=(0.8, 0.1)
    )
    model = _on_gpu(gpu, model)
    draw = np.random.default_rng(0)
    borders = draw.integers(0, rows * length, 2 * rows)
    starts = np.union1d(np.arange(0, rows * length, length), borders)
    plain = {
        "input_ids": torch.randint(5, size, (rows, length)),
        "positions": torch.arange(rows),
        "segment_starts": starts,
        "segment_lengths": np.diff(np.append(starts, rows * length)),
    }
    law = MaskLaw(UniformRatio(0.15, 0.4))
    objective = MaskedPrediction(law, "random", 0, 1000, model.masking)
    batches = [objective.prepare(plain, step) for step in range(gpu.turns(40))]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    rate = _rate(gpu, model, optimizer, batches, {}, rows * length)
    peak = torch.cuda.max_memory_allocated() / 2**30
    return {"tokens_per_second": rate, "peak_gib": peak}


def recipes(gpu: Gpu) -> dict[str, Any]:
    """Recipes whose data the environment names."""
    if cifar := os.environ.get("CIFAR10"):
        small = str(ROOT / "recipes/vision/cifar10_vit_small.yaml")
        where = (f"data.root={cifar}", "log=[csv]", "schedule.epochs=20")
        gpu.run("pretrain", small, settings=where)
        gpu.run(
            "evaluate", "runs/cifar10_vit_small", "--task", "linear_probe", "--json"
        )
    if wikitext := os.environ.get("WIKITEXT"):
        small = str(ROOT / "recipes/language/wikitext_small.yaml")
        where = ("data.card=text_files", f"data.root={wikitext}/train.txt", "log=[csv]")
        gpu.run("pretrain", small, settings=(*where, "schedule.steps=500"))
    return {}


PARTS: dict[str, Callable[[Gpu], dict[str, Any]]] = {
    part.__name__: part
    for part in (
        device,
        masks,
        memory,
        packed,
        images,
        texts,
        saving,
        demo,
        resume,
        recipes,
    )
}


def _on_gpu(gpu: Gpu, model: Any) -> Any:
    """The model in train mode on the device, its blocks compiled on a real one."""
    model = gpu.put(model)
    if not gpu.fake:
        model.compile_blocks()
    return model


def _moved(batch: dict[str, Any]) -> dict[str, Any]:
    from lightning_fabric.utilities import move_data_to_device

    moved: dict[str, Any] = move_data_to_device(batch, torch.device("cuda", 0))
    return moved


def _rate(
    gpu: Gpu,
    model: Any,
    optimizer: torch.optim.Optimizer,
    batches: list[dict[str, Any]],
    on_device: dict[str, Any],
    amount: int,
) -> int:
    """Amount a second over the later half of the steps."""
    times = []
    for batch in batches:
        torch.cuda.synchronize()
        start = time.perf_counter()
        moved = _moved(batch) | on_device
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = model(moved, moved["mask"]).loss
        gpu.backward(loss.total / loss.count)
        optimizer.step()
        optimizer.zero_grad()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return round(amount / statistics.median(times[len(times) // 2 :]))


def _ms(seconds: list[float]) -> float:
    return round(statistics.median(seconds) * 1e3, 3)


def _run_part(name: str, *, fake: bool, seconds: float) -> dict[str, Any]:
    """What a part returned, or its error; it runs in a process of its own.

    seconds: after which the process is killed.
    """
    command = [
        sys.executable,
        __file__,
        "--one",
        name,
        *(["--rehearse"] if fake else []),
    ]
    began = time.monotonic()
    with (
        tempfile.NamedTemporaryFile() as result,
        tempfile.TemporaryDirectory() as folder,
    ):
        environment = _environment() | {"GPU_CHECK_RESULT": result.name}
        code: int | str
        try:
            code = subprocess.run(
                command, env=environment, cwd=folder, timeout=seconds, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            code = f"over {seconds:.0f} s"
        text = Path(result.name).read_text()
    report = json.loads(text) if text else {}
    taken = round(time.monotonic() - began, 1)
    return {"ok": code == 0, "exit_code": code, "seconds": taken} | report


def main() -> int:
    """Run the parts one after the other; 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rehearse", action="store_true", help="on a fake device")
    parser.add_argument("--one", choices=PARTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        gpu = Gpu(fake=arguments.rehearse)
        with gpu.ready():
            report = PARTS[arguments.one](gpu)
        Path(os.environ["GPU_CHECK_RESULT"]).write_text(json.dumps(report))
        return 0
    end = time.monotonic() + TOTAL_SECONDS
    reports: dict[str, Any] = {}
    for name in arguments.parts or PARTS:
        title = (PARTS[name].__doc__ or "").partition("\n")[0]
        print(f"== {name}: {title}", flush=True)
        seconds = float(PART_SECONDS)
        if not arguments.rehearse:
            seconds = min(seconds, end - time.monotonic())
        if seconds <= 0:
            reports[name] = {"ok": False, "exit_code": "skipped: no time was left"}
            continue
        reports[name] = _run_part(name, fake=arguments.rehearse, seconds=seconds)
    print(json.dumps({"rehearsed": arguments.rehearse, "parts": reports}))
    return int(not all(report["ok"] for report in reports.values()))


if __name__ == "__main__":
    sys.exit(main())
