"""What a masked model of DNA says of variants: how likely the other base is at a site that it does not see.

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
import torch.nn.functional as F  # noqa: N812 - torch's own habit

from r2mae.data.fingerprint import fingerprint_bytes
from r2mae.masking.pattern import build_mask
from r2mae.modalities.dna.genome.bases import COMPLEMENT, PLAIN
from r2mae.modalities.dna.tokens import Codec
from r2mae.modalities.dna.variants.variants import Variants

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
_CPU_WINDOWS, _GPU_WINDOWS = 16, 256  # of a batch; more of them leave a CPU's cache
_SITE = 32  # bytes of a site's four scores
_TRANSITIONS = 2  # codes of A and G, and of C and T, lie this far apart


class SiteScorer:
    """Log-likelihoods of the four bases at hidden sites, the mean of both strands.

    places: a genome's or an alignment's store; what a window lacks at a contig's end is N. codec: of a transformer.
    both_strands: False for a model that was only shown the forward one.
    On CPUs the model becomes one of float64: in float32 a score depended on its batch by up to 2e-6.
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
        self.model, self.codec, self.places = (
            model.eval().double() if on_cpu else model.eval(),
            codec,
            places,
        )
        self.length, self.both_strands = length, both_strands
        self.batch_size = batch_size or (_CPU_WINDOWS if on_cpu else _GPU_WINDOWS)
        self.has_others = hasattr(places, "species")

    def score(self, contigs: Integers, positions: Integers) -> Floats:
        """(U, 4) nats for A, C, G, T of the forward strand at positions (U,) of contigs of numbers (U,).

        nan where another base of the site's k-mer is unknown; on one strand alone, the other one counts.
        """
        middle = self.length // 2
        parts = []
        for first in range(0, len(contigs), self.batch_size):
            rows = slice(first, first + self.batch_size)
            codes = (
                self.places.take_padded(
                    contigs[rows], positions[rows] - middle, self.length
                )
                & PLAIN
            )
            forward = self._strand(codes, middle)
            if not self.both_strands:
                parts.append(forward)
                continue
            reverse = self._strand(
                COMPLEMENT[codes[:, ::-1]], self.length - 1 - middle
            )[:, ::-1]
            one = np.where(np.isnan(forward), reverse, forward)
            parts.append((one + np.where(np.isnan(reverse), one, reverse)) / 2)
        return np.concatenate(parts) if parts else np.zeros((0, 4))

    def _strand(self, codes: npt.NDArray[np.uint8], site: int) -> Floats:
        columns = codes if self.has_others else codes[:, :, None]
        batch: dict[str, Any] = {
            "bases": torch.from_numpy(columns[:, :, 0].astype(np.int64))
        }
        if self.has_others:
            batch["others"] = torch.from_numpy(np.ascontiguousarray(columns[:, :, 1:]))
        sites, count = torch.full((len(codes),), site), self.length
        if self.codec is None:
            place, tokens = sites, torch.arange(4).expand(len(codes), 4)
        else:
            place, tokens = self.codec.candidates(batch["bases"], sites)
            batch = self.codec.encode(batch)
            count = batch["input_ids"].shape[1]
        device = next(self.model.parameters()).device
        batch = {
            key: value.to(device) if isinstance(value, torch.Tensor) else value
            for key, value in batch.items()
        }
        mask = build_mask(F.one_hot(place, count).bool().to(device))
        with torch.no_grad():
            likely = (
                self.model.logits(batch, mask)
                .log_softmax(dim=1)
                .gather(1, tokens.to(device))
            )
        found: Floats = likely.double().cpu().numpy()
        if self.codec is not None:
            found[(tokens == self.codec.unknown).all(dim=1).cpu().numpy()] = np.nan
        return found


def score_variants(
    scorer: SiteScorer,
    variants: Variants,
    *,
    journal: Path | None = None,
    key: str = "",
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Floats:
    """(V,) log-likelihood of ALT minus that of REF. Each site is computed once, whatever variants it has.

    journal: a file that holds what is done; the same call with the same key goes on there. The caller deletes it.
    """
    places = np.stack([variants.contigs, variants.positions], axis=1)
    sites, index = np.unique(places, axis=0, return_inverse=True)
    step = 4 * scorer.batch_size
    done = _read_journal(journal, key, step)
    found = [done]
    count = len(done)
    while count < len(sites):
        part = sites[count : count + step]
        found.append(scorer.score(part[:, 0], part[:, 1]))
        if journal is not None:
            with journal.open("ab") as file:
                file.write(found[-1].tobytes())
                file.flush()
                os.fsync(file.fileno())
        count += len(part)
        progress(count, len(sites))
    scores, rows = np.concatenate(found), index.reshape(-1)
    ratio: Floats = scores[rows, variants.alt] - scores[rows, variants.ref]
    return ratio


def _read_journal(journal: Path | None, key: str, step: int) -> Floats:
    """(n, 4) what was done before, in whole steps, so that batches are those of a run that never stopped."""
    if journal is None:
        return np.zeros((0, 4))
    head = (json.dumps({"scores of": key}) + "\n").encode()
    held = journal.read_bytes() if journal.is_file() else b""
    if not held.startswith(head):  # nothing, or scores of something else
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
    """Changes when a checkpoint (its recipe included), the genome or the sites do."""
    words = [json.dumps(manifest, sort_keys=True), places.fingerprint, str(length)]
    sites = variants.contigs.tobytes() + variants.positions.tobytes()
    return fingerprint_bytes("\n".join(words).encode() + sites)


def is_transversion(variants: Variants) -> npt.NDArray[np.bool_]:
    """(V,) whether a purine becomes a pyrimidine or the other way: rarer, and said to do more harm."""
    found: npt.NDArray[np.bool_] = (
        np.abs(variants.ref.astype(int) - variants.alt) != _TRANSITIONS
    )
    return found
