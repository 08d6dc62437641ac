"""Zero-shot variant effect scores: log-likelihood ratio of ALT to REF at masked sites.

B windows, N bases of each, V variants, U sites.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from r2mae.data.fingerprint import fingerprint_bytes
from r2mae.masking.mask import build_mask
from r2mae.modalities.dna.genome.bases import COMPLEMENT, PLAIN
from r2mae.modalities.dna.tokens import Codec
from r2mae.modalities.dna.variants.variants import Variants

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
_CPU_WINDOWS, _GPU_WINDOWS = 16, 256  # in a batch; more do not fit a CPU's cache
_SITE = 32  # bytes of the four scores of a site
_TRANSITION = 2  # difference between the codes of A and G, and of C and T


class SiteScorer:
    """Log-likelihoods of the four bases at masked sites, averaged over both strands.

    places: store of a genome or an alignment; windows are padded with N at contig ends.
    codec: tokens of a transformer; None for convolutions.
    both_strands: False for a model trained on the forward strand only.
    On CPUs the model is converted to float64: in float32, scores depended on the batch
    by up to 2e-6.
    """

    def __init__(
        self,
        model: Any,
        codec: Codec | None,
        places: Any,
        length: int,
        batch_size: int | None = None,
        *,
        both_strands: bool = True,
    ) -> None:
        on_cpu = next(model.parameters()).device.type == "cpu"
        self.model = model.eval().double() if on_cpu else model.eval()
        self.codec, self.places = codec, places
        self.length, self.both_strands = length, both_strands
        self.batch_size = batch_size or (_CPU_WINDOWS if on_cpu else _GPU_WINDOWS)
        self.has_others = hasattr(places, "species")

    def score(self, contigs: Integers, positions: Integers) -> Floats:
        """(U, 4) log-likelihoods in nats of A, C, G, T on the forward strand.

        contigs, positions: (U,), positions 0-based.
        Where the site's k-mer holds an N on one strand, only the other strand counts;
        nan where it does on both.
        """
        middle = self.length // 2
        parts = []
        for first in range(0, len(contigs), self.batch_size):
            rows = slice(first, first + self.batch_size)
            starts = positions[rows] - middle
            codes = self.places.take_padded(contigs[rows], starts, self.length) & PLAIN
            forward = self._strand(codes, middle)
            if not self.both_strands:
                parts.append(forward)
                continue
            reverse = self._strand(
                COMPLEMENT[codes[:, ::-1]], self.length - 1 - middle
            )[:, ::-1]
            either = np.where(np.isnan(forward), reverse, forward)
            other = np.where(np.isnan(reverse), either, reverse)
            parts.append((either + other) / 2)
        return np.concatenate(parts) if parts else np.zeros((0, 4))

    def _strand(self, codes: npt.NDArray[np.uint8], site: int) -> Floats:
        """(U, 4) nats at one site of windows (U, N), or (U, N, species) of an alignment."""
        batch = self.make_batch(codes)
        sites, count = torch.full((len(codes),), site), self.length
        if self.codec is None:
            place, tokens = sites, torch.arange(4).expand(len(codes), 4)
        else:
            place, tokens = self.codec.candidates(batch["bases"].cpu(), sites)
            count = batch["input_ids"].shape[1]
        device = next(self.model.parameters()).device
        mask = build_mask(F.one_hot(place, count).bool().to(device))
        with torch.no_grad():
            log_probabilities = self.model.logits(batch, mask).log_softmax(dim=1)
        scores: Floats = (
            log_probabilities.gather(1, tokens.to(device)).double().cpu().numpy()
        )
        if self.codec is not None:
            scores[(tokens == self.codec.unknown).all(dim=1).cpu().numpy()] = np.nan
        return scores

    def make_batch(self, codes: npt.NDArray[np.uint8]) -> dict[str, Any]:
        """A batch on the model's device of windows (B, N), or (B, N, species)."""
        columns = codes if self.has_others else codes[:, :, None]
        batch: dict[str, Any] = {
            "bases": torch.from_numpy(columns[:, :, 0].astype(np.int64))
        }
        if self.has_others:
            batch["others"] = torch.from_numpy(np.ascontiguousarray(columns[:, :, 1:]))
        if self.codec is not None:
            batch = self.codec.encode(batch)
        device = next(self.model.parameters()).device
        return {
            key: value.to(device) if isinstance(value, torch.Tensor) else value
            for key, value in batch.items()
        }


def score_variants(
    scorer: SiteScorer,
    variants: Variants,
    *,
    journal: Path | None = None,
    key: str = "",
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Floats:
    """(V,) log-likelihood of ALT minus that of REF; alleles of a site share a prediction.

    journal: file of finished scores, from which a call with the same key resumes;
        the caller deletes it.
    progress: called with (sites done, U).
    """
    places = np.stack([variants.contigs, variants.positions], axis=1)
    sites, index = np.unique(places, axis=0, return_inverse=True)
    step = 4 * scorer.batch_size
    done = _read_journal(journal, key, step)
    parts = [done]
    count = len(done)
    while count < len(sites):
        part = sites[count : count + step]
        parts.append(scorer.score(part[:, 0], part[:, 1]))
        if journal is not None:
            with journal.open("ab") as file:
                file.write(parts[-1].tobytes())
                file.flush()
                os.fsync(file.fileno())
        count += len(part)
        progress(count, len(sites))
    scores, rows = np.concatenate(parts), index.reshape(-1)
    ratio: Floats = scores[rows, variants.alt] - scores[rows, variants.ref]
    return ratio


def _read_journal(journal: Path | None, key: str, step: int) -> Floats:
    """(n, 4) finished scores, cut to full steps so that batches stay the same."""
    if journal is None:
        return np.zeros((0, 4))
    head = (json.dumps({"scores of": key}) + "\n").encode()
    held = journal.read_bytes() if journal.is_file() else b""
    if not held.startswith(head):  # empty, or scores under another key
        journal.write_bytes(head)
        return np.zeros((0, 4))
    size = (len(held) - len(head)) // (step * _SITE) * step * _SITE
    with journal.open("r+b") as file:
        file.truncate(len(head) + size)
    done: Floats = np.frombuffer(held[len(head) : len(head) + size]).reshape(-1, 4)
    return done


def scoring_key(
    manifest: dict[str, Any], places: Any, variants: Variants, length: int
) -> str:
    """A fingerprint of the checkpoint with its recipe, the genome and the sites."""
    parts = [json.dumps(manifest, sort_keys=True), places.fingerprint, str(length)]
    sites = variants.contigs.tobytes() + variants.positions.tobytes()
    return fingerprint_bytes("\n".join(parts).encode() + sites)


def is_transversion(variants: Variants) -> npt.NDArray[np.bool_]:
    """(V,) bool: whether a purine becomes a pyrimidine, or the reverse."""
    distance = np.abs(variants.ref.astype(int) - variants.alt)
    return np.asarray(distance != _TRANSITION)
