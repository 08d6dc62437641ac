#!/usr/bin/env bash
# What only a GPU can show: training in bf16 with compile, recompiles, kill and continue, images a second.
# Run on a machine with one CUDA GPU, in a checkout where r2mae and its vision extra can be imported.
# Not part of the tests. The last line is JSON.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
recipe="$PWD/recipes/vision/digits_demo.yaml"
r2mae() { (cd "$out" && python3 -m r2mae "$@"); }

echo "== hash: the same bits on CPU and GPU"
python3 - <<'PY'
import torch
from r2mae.masking.rng import RandomStream, bits
from r2mae.masking.pattern import sample_mask

position, token = torch.arange(4096)[:, None], torch.arange(196)
assert torch.equal(bits(7, RandomStream.MASK, position, token), bits(7, RandomStream.MASK, position.cuda(), token.cuda()).cpu())
eligible, ratios = torch.ones(4096, 196, dtype=torch.bool), torch.rand(4096, dtype=torch.float64) * 0.98 + 0.01
for pattern in ("random", "block"):
    here = sample_mask(pattern, eligible, ratios, 0, position[:, 0], (14, 14)).is_masked
    there = sample_mask(pattern, eligible.cuda(), ratios, 0, position[:, 0].cuda(), (14, 14)).is_masked.cpu()
    print(pattern, "masks equal:", torch.equal(here, there))
PY

echo "== the demo recipe in bf16 with compile and clipping, on the GPU"
gpu=(--set hardware.accelerator=gpu --set hardware.precision=bf16-mixed --set hardware.compile=true --set optimizer.clip_norm=1.0)
r2mae pretrain "$recipe" "${gpu[@]}" --name gpu
r2mae evaluate runs/gpu --task linear_probe --labels-per-class 10 --baselines

echo "== fine-tuning from it, two seeds, and a backbone with BatchNorm, bf16 with compile"
r2mae finetune "$PWD/recipes/vision/digits_finetune.yaml" "${gpu[@]}" --set model.init_from=runs/gpu --seeds 2
r2mae finetune "$PWD/recipes/vision/digits_finetune.yaml" "${gpu[@]}" --set model.init_from=null --seeds 2 --name scratch
r2mae pretrain "$recipe" "${gpu[@]}" --name resnet --set schedule.steps=100 --set schedule.warmup_steps=10 \
  --set data.image_size=32 --set 'model={encoder: resnet18, patch_size: 8}'
r2mae pretrain "$recipe" "${gpu[@]}" --name samples --set schedule.steps=100 --set schedule.warmup_steps=10 \
  --set mask.scope=sample
if [ -n "${CIFAR10:-}" ]; then  # a folder with train.parquet and test.parquet
  echo "== cifar10_vit_small to its end, probe, fine-tuning with all labels"
  r2mae pretrain "$PWD/recipes/vision/cifar10_vit_small.yaml" --set "data.root=$CIFAR10" --set log='[csv]'
  r2mae evaluate runs/cifar10_vit_small --task linear_probe --baselines --json
  r2mae finetune "$PWD/recipes/vision/cifar10_finetune.yaml" --set "data.root=$CIFAR10" --name small \
    --set model.init_from=runs/cifar10_vit_small --set model.encoder=vit_small_patch16_224 --set model.depth=12 \
    --set hardware.compile=true --set hardware.workers=8 --labels-per-class all --seeds 1 --set schedule.epochs=20 --json
fi

echo "== kill and continue: bf16, compile, accumulation and clipping, bit-identical"
r2mae verify-resume "$recipe" "${gpu[@]}" --set hardware.deterministic=true --set batch.per_device_samples=32 \
  --kill-at 7,13 --devices 1

echo "== the pause of a save, from the GPU"
python3 - <<'PY'
import statistics, tempfile, time
from pathlib import Path
import torch
from r2mae.training.writer import CheckpointWriter

weights = {f"layer_{n}": torch.randn(2048, 2048, device="cuda") for n in range(24)}
moments = {f"{name}/{key}": torch.randn_like(t) for name, t in weights.items() for key in ("exp_avg", "exp_avg_sq")}
held = {name: torch.empty(t.shape, pin_memory=True) for name, t in (weights | moments).items()}
writer, times = CheckpointWriter(), {"one copy": [], "pause": []}
with tempfile.TemporaryDirectory() as folder:
    for turn in range(6):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for name, tensor in (weights | moments).items():
            held[name].copy_(tensor, non_blocking=True)
        torch.cuda.synchronize()
        middle = time.perf_counter()
        writer.save(Path(folder) / "step_1", weights, moments, {"step": 1}, lambda: None)
        end = time.perf_counter()
        writer.wait()
        if turn:
            times["one copy"].append((middle - start) * 1e3)
            times["pause"].append((end - middle) * 1e3)
print("saving:", {name: round(statistics.median(found), 1) for name, found in times.items()}, "ms")
PY

echo "== packed attention: the kernel against groups, and no step waits for the device"
python3 - <<'PY'
import json, statistics, time
import torch
from r2mae.models import packed

torch.manual_seed(0)
device, has_kernel = torch.device("cuda"), packed.has_kernel
packing = packed.build_packing(torch.randint(20, 80, (256,)).tolist(), device)
exact = torch.randn(len(packing.slots), 3, 12, 64, device=device)
weight = torch.randn(len(packing.slots), 768, device=device)


def attend(dtype, kernel):
    """Values and gradients; groups when the kernel is not asked."""
    packed.has_kernel = has_kernel if kernel else lambda *_: False
    qkv = exact.to(dtype).requires_grad_()
    found = packed.packed_attention(qkv, packing)
    (found * weight).sum().backward()
    return found.detach().float(), qkv.grad.float()


assert has_kernel(exact.bfloat16(), 0.0) and not has_kernel(exact, 0.0)
reference = attend(torch.float32, False)
errors = {}
for name, kernel in {"kernel": True, "groups": False}.items():
    pairs = zip(attend(torch.bfloat16, kernel), reference)
    errors[name] = [round(((found - wanted).norm() / wanted.norm()).item(), 5) for found, wanted in pairs]
    assert max(errors[name]) < 0.02, errors
times = {"kernel": [], "groups": []}
for turn in range(30):
    for name in times:
        torch.cuda.synchronize()
        start = time.perf_counter()
        torch.cuda.set_sync_debug_mode("error")  # raises where the host would wait for the device
        packed.build_packing(packing.lengths, device)
        attend(torch.bfloat16, name == "kernel")
        torch.cuda.set_sync_debug_mode("default")
        torch.cuda.synchronize()
        if turn >= 10:
            times[name].append((time.perf_counter() - start) * 1e3)
medians = {name: round(statistics.median(found), 3) for name, found in times.items()}
print("packed attention:", json.dumps({"ms": medians, "relative_error_in_bf16": errors, "groups": len(packing.groups)}))
PY

echo "== texts: the demo recipe in bf16 with compile; kernel against groups; tokens a second of ModernBERT-base"
text="$PWD/recipes/language/topics_demo.yaml"
r2mae demo "$text" "${gpu[@]:0:6}" --name text
r2mae verify-resume "$text" "${gpu[@]}" --set hardware.deterministic=true --kill-at 7,13 --devices 1
if [ -n "${WIKITEXT:-}" ]; then  # a folder with train.txt and test.txt
  r2mae pretrain "$PWD/recipes/language/wikitext_small.yaml" --set data.card=text_files --set "data.root=$WIKITEXT/train.txt" \
    --set log='[csv]'
  r2mae evaluate runs/wikitext_small --task masked --ratios 0.15,0.3,0.5 --json
fi
python3 - <<'PY'
import json, statistics, time
import numpy as np
import torch
from lightning_fabric.utilities import move_data_to_device
from transformers import AutoModelForMaskedLM, ModernBertConfig
from r2mae.law import MaskLaw, UniformRatio
from r2mae.masking.pattern import sample_mask
from r2mae.masking.ratio import draw_ratios
from r2mae.models import segments
from r2mae.models.language_encoder import Vocabulary
from r2mae.models.masked_language import MaskedLanguageModel

ROWS, LENGTH, SIZE = 64, 1024, 50368
torch.manual_seed(0)
ids = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
model = MaskedLanguageModel(
    AutoModelForMaskedLM.from_config(ModernBertConfig(vocab_size=SIZE, **ids)),
    Vocabulary(SIZE, 4, 0, (0, 2, 3, 4)), length=LENGTH, replacement=(0.8, 0.1),
).cuda()
draw = np.random.default_rng(0)
cuts = np.union1d(np.arange(0, ROWS * LENGTH, LENGTH), draw.integers(0, ROWS * LENGTH, 2 * ROWS))
tokens = torch.randint(5, SIZE, (ROWS, LENGTH))
plain = {"input_ids": tokens, "positions": torch.arange(ROWS), "segment_starts": cuts,
         "segment_lengths": np.diff(np.append(cuts, ROWS * LENGTH))}


def batch_of(number):
    ratios = draw_ratios(MaskLaw(UniformRatio(0.15, 0.4)), 0, number, 0.0, plain["positions"])
    mask = sample_mask("random", model.eligible(plain), ratios, 0, plain["positions"], (LENGTH,))
    return move_data_to_device(plain | model.hide(plain, mask, 0) | {"mask": mask}, torch.device("cuda"))


def loss_of(batch):
    with torch.autocast("cuda", dtype=torch.bfloat16):
        return model(batch, batch["mask"]).loss


batch, kernel = batch_of(0), segments.has_kernel
by_kernel = loss_of(batch)
segments.has_kernel = lambda *_: False
by_groups = loss_of(batch)
segments.has_kernel = kernel
gap = abs(float(by_kernel.total / by_groups.total) - 1)
assert gap < 1e-3, gap
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
model.compile_blocks()
times = []
for number in range(40):
    torch.cuda.synchronize()
    start = time.perf_counter()
    loss = loss_of(batch_of(number))
    (loss.total / loss.count).backward()
    optimizer.step()
    optimizer.zero_grad()
    torch.cuda.synchronize()
    times.append(time.perf_counter() - start)
rate, peak = round(ROWS * LENGTH / statistics.median(times[15:])), torch.cuda.max_memory_allocated() / 2**30
print("texts:", json.dumps({"tokens_per_second": rate, "peak_gib": peak, "kernel_against_groups": gap}))
PY

echo "== images a second: ViT-B/16, 224 pixels, 256 a step, bf16, compiled, no input pipeline"
python3 - <<'PY'
import json, statistics, time
import torch
from lightning_fabric.utilities import move_data_to_device
from r2mae.law import FixedRatio, MaskLaw, UniformRatio
from r2mae.masking.pattern import sample_mask
from r2mae.masking.ratio import draw_ratios
from r2mae.modalities.vision.models.timm_encoder import create_encoder
from r2mae.modalities.vision.models.autoencoder import MaskedAutoencoder

encoder = create_encoder("vit_base_patch16_224", image_size=224, channels=3)
model = MaskedAutoencoder(encoder, decoder_depth=8, decoder_width=512, decoder_heads=16, normalize_targets=True,
                          pixel_mean=(0.5,) * 3, pixel_std=(0.5,) * 3).cuda()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
images = torch.randint(0, 256, (256, 3, 224, 224), dtype=torch.uint8, device="cuda")
eligible, positions = torch.ones(256, 196, dtype=torch.bool), torch.arange(256)
model.compile_blocks()


def step(law, number):
    ratios = draw_ratios(law, 0, number, 0.0, positions)
    mask = sample_mask("random", eligible, ratios, 0, positions, model.grid)
    mask = move_data_to_device(mask, torch.device("cuda"))
    with torch.autocast("cuda", dtype=torch.bfloat16):
        loss = model({"images": images}, mask).loss
    (loss.total / loss.count).backward()
    optimizer.step()
    optimizer.zero_grad()


laws = {
    "uniform 0.6-0.9": MaskLaw(UniformRatio(0.6, 0.9)),
    "uniform 0.6-0.9, a ratio a sample": MaskLaw(UniformRatio(0.6, 0.9), scope="sample"),
    "fixed 0.75": MaskLaw(FixedRatio(0.75)),
}
times = {name: [] for name in laws}
for number in range(60):
    for name, law in laws.items():
        torch.cuda.synchronize()
        start = time.perf_counter()
        step(law, number)
        torch.cuda.synchronize()
        if number >= 20:
            times[name].append(time.perf_counter() - start)
rates = {name: round(256 / statistics.mean(found)) for name, found in times.items()}
peak = torch.cuda.max_memory_allocated() / 2**30
print("gpu_check:", json.dumps({"device": torch.cuda.get_device_name(), "images_per_second": rates, "peak_gib": peak}))
PY
