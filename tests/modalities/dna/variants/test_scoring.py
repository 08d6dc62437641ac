"""Scores of variants: a brute-force loop, the other strand, ends of contigs, journals."""

import numpy as np
import pandas as pd
import pytest
import torch

from r2mae.masking.mask import build_mask
from r2mae.masking.pattern import Role
from r2mae.modalities.dna.alignment.build import open_alignment
from r2mae.modalities.dna.genome.bases import COMPLEMENT, decode, encode
from r2mae.modalities.dna.genome.build import open_genome
from r2mae.modalities.dna.tokens import find_codec
from r2mae.modalities.dna.variants.likelihood import (
    pseudo_log_likelihoods,
    score_longer,
)
from r2mae.modalities.dna.variants.scoring import (
    SiteScorer,
    is_transversion,
    score_variants,
)
from r2mae.modalities.dna.variants.variants import LongVariants, Variants
from tests.modalities.dna.models.test_models import LENGTH, conv, transformer

NUM = 200


@pytest.fixture
def letters():
    return "".join(np.random.default_rng(0).choice(list("ACGT"), 300))


@pytest.fixture
def genome(scratch, letters):
    (scratch / "genome.fa").write_text(
        f">one\n{letters[:180]}\n>two\n{letters[180:]}\n"
    )
    return open_genome([scratch / "genome.fa"])


@pytest.fixture
def alignment(scratch, letters):
    draw = np.random.default_rng(1)
    rows = [letters]
    for _ in range(3):
        is_changed = draw.random(300) < 0.3
        rows.append(
            "".join(
                np.where(is_changed, draw.choice(list("ACGT-"), 300), list(letters))
            )
        )
    text = "##maf version=1\na score=1\n"
    for number, row in enumerate(rows):
        size = len(row.replace("-", ""))
        text += f"s s{number}.one 0 {size} + {size} {row}\n"
    (scratch / "four.maf").write_text(text)
    return open_alignment([scratch / "four.maf"], "s0")


def make_variants(places):
    draw = np.random.default_rng(2)
    genome = getattr(places, "reference", places)
    flat = draw.integers(0, len(genome.bases), NUM)
    flat[:3] = 0, len(genome.bases) - 1, 5  # ends of contigs
    return variants_at(genome, flat, draw.integers(1, 4, NUM))


def variants_at(genome, flat, turns):
    contigs = np.searchsorted(genome.offsets, flat, "right") - 1
    ref = np.array(genome.bases[flat]) & 7
    alt = ((ref + turns) % 4).astype(np.uint8)
    nothing = {
        "rows": np.arange(len(flat)),
        "alleles": np.zeros(len(flat), dtype=int),
        "table": pd.DataFrame(),
        "names": {},
        "skipped": {},
    }
    return Variants(
        "x", contigs, flat - genome.offsets[contigs], ref, alt, **nothing, mismatches=[]
    )


@pytest.mark.parametrize("kind", ["conv", "transformer", "3-mers"])
def test_a_site_is_scored_without_its_own_base(kind, genome):
    model = conv() if kind == "conv" else transformer(kmer=3 if kind == "3-mers" else 1)
    kmer = {"transformer": 1, "3-mers": 3}.get(kind)
    codec = None if kmer is None else find_codec(None, kmer)
    scorer = SiteScorer(model, codec, genome, LENGTH)
    codes = genome.take_padded(np.array([0]), np.array([40]), LENGTH) & 7
    other = codes.copy()
    other[0, LENGTH // 2] = (other[0, LENGTH // 2] + 1) % 4
    before, after = (scorer._strand(row, LENGTH // 2) for row in (codes, other))
    assert np.array_equal(before, after)


def brute(model, codec, places, variants, number):
    """One variant, one strand after the other, base after base."""
    genome, found = getattr(places, "reference", places), []
    contig, at = (
        genome.contigs[variants.contigs[number]],
        int(variants.positions[number]),
    )
    for strand in (1, -1):
        first = at - LENGTH // 2
        columns = []
        for place in range(first, first + LENGTH):
            if not 0 <= place < contig.length:
                columns.append([4, 5, 5, 5])
            elif genome is places:
                columns.append(
                    [genome.fetch(contig.name, place, place + 1)[0] & 7, 5, 5, 5]
                )
            else:
                columns.append(
                    [
                        code & 7
                        for code in places.fetch(contig.name, place, place + 1)[0]
                    ]
                )
        site, ref, alt = (
            LENGTH // 2,
            int(variants.ref[number]),
            int(variants.alt[number]),
        )
        if strand < 0:
            columns = [
                [int(COMPLEMENT[code]) for code in column] for column in columns[::-1]
            ]
            site, ref, alt = LENGTH - 1 - site, 3 - ref, 3 - alt
        bases = torch.tensor([[int(column[0]) for column in columns]])
        batch = {"bases": bases}
        if genome is not places:
            batch["others"] = torch.tensor(
                [[column[1:] for column in columns]], dtype=torch.uint8
            )
        if codec is None:
            is_masked = torch.zeros(1, LENGTH, dtype=torch.bool)
            is_masked[0, site] = True
            tokens = [ref, alt]
        else:
            batch, k = codec.encode(batch), codec.kmer
            is_masked = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
            is_masked[0, site // k + 1] = True
            word = list(bases[0, site // k * k : site // k * k + k].tolist())
            names = []
            for base in (ref, alt):
                word[site % k] = base
                names.append("".join("ACGTN"[letter] for letter in word))
            if any("N" in name for name in names):  # nothing is known of this strand
                continue
            tokens = codec.tokenizer.convert_tokens_to_ids(names)
        with torch.no_grad():
            logits = model.logits(batch, build_mask(is_masked))[0]
        found.append(float(logits[tokens[1]] - logits[tokens[0]]))
    return sum(found) / len(found) if found else np.nan


CASES = {
    "conv": (conv, 1),
    "transformer": (transformer, 1),
    "k-mers": (lambda others: transformer(others, kmer=3), 3),
}


@pytest.mark.parametrize("kind", CASES)
def test_scores_are_those_of_a_brute_force_loop(kind, genome):
    make, kmer = CASES[kind]
    model, codec = make(0), None if kind == "conv" else find_codec(None, kmer)
    variants = make_variants(genome)
    scores = score_variants(
        SiteScorer(model, codec, genome, LENGTH, batch_size=7), variants
    )
    wanted = np.array(
        [brute(model, codec, genome, variants, number) for number in range(NUM)]
    )
    assert (np.isnan(scores) == np.isnan(wanted)).all()
    assert np.isnan(wanted).any() == (
        kmer > 1
    )  # at ends of contigs, words reach beyond
    assert np.nanmax(np.abs(scores - wanted)) < 1e-6
    assert np.nanstd(scores) > 1e-3
    one = score_variants(
        SiteScorer(model, codec, genome, LENGTH, both_strands=False), variants
    )
    assert np.nanmax(np.abs(one - scores)) > 1e-3


def test_ten_thousand_scores_are_those_of_a_brute_force_loop(scratch):
    """All SNVs of 3,334 bases but two."""
    letters = "".join(np.random.default_rng(3).choice(list("ACGT"), 3_334))
    (scratch / "long.fa").write_text(
        f">one\n{letters[:2000]}\n>two\n{letters[2000:]}\n"
    )
    places, model = open_genome([scratch / "long.fa"]), conv(0)
    variants = variants_at(places, np.arange(10_000) // 3, np.arange(10_000) % 3 + 1)
    scores = score_variants(SiteScorer(model, None, places, LENGTH), variants)
    wanted = [brute(model, None, places, variants, number) for number in range(10_000)]
    assert np.abs(scores - wanted).max() < 1e-6
    assert scores.std() > 1e-3


@pytest.mark.parametrize("kind", ["conv", "transformer"])
def test_scores_of_an_alignment(kind, alignment):
    model, codec = CASES[kind][0](3), None if kind == "conv" else find_codec(None, 1)
    variants = make_variants(alignment)
    scores = score_variants(SiteScorer(model, codec, alignment, LENGTH), variants)
    wanted = [brute(model, codec, alignment, variants, number) for number in range(NUM)]
    assert np.abs(scores - wanted).max() < 1e-6


def test_the_other_strand_says_the_same(genome, scratch, letters):
    """A genome and its variants turned over have the same scores: of every window both strands are asked."""
    model, variants = conv(), make_variants(genome)
    turned = "".join("TGCA"["ACGT".index(letter)] for letter in reversed(letters[:180]))
    (scratch / "turned.fa").write_text(f">one\n{turned}\n")
    other = open_genome([scratch / "turned.fa"])
    # An odd window has its site in the middle whichever way it is read.
    first = variants.contigs == 0
    scores = score_variants(SiteScorer(model, None, genome, LENGTH - 1), variants)[
        first
    ]
    nothing = {
        "rows": variants.rows[first],
        "alleles": variants.alleles[first],
        "table": None,
        "names": {},
        "skipped": {},
    }
    mirrored = Variants(
        "x", variants.contigs[first], 179 - variants.positions[first], 3 - variants.ref[first], 3 - variants.alt[first],
        **nothing, mismatches=[],
    )  # fmt: skip
    assert np.allclose(
        score_variants(SiteScorer(model, None, other, LENGTH - 1), mirrored),
        scores,
        atol=1e-9,
    )


@pytest.mark.parametrize("torn", [0, 1, 31, 100])
def test_a_journal_is_continued_wherever_it_was_torn(
    torn, genome, tmp_path, monkeypatch
):
    variants, journal = make_variants(genome), tmp_path / "journal"
    whole = score_variants(
        SiteScorer(conv(), None, genome, LENGTH, batch_size=5), variants
    )
    scorer, calls = SiteScorer(conv(), None, genome, LENGTH, batch_size=5), []

    def stop_at_third(contigs, positions, score=scorer.score):
        calls.append(len(contigs))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return score(contigs, positions)

    monkeypatch.setattr(scorer, "score", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        score_variants(scorer, variants, journal=journal, key="a")
    held = journal.read_bytes()
    journal.write_bytes(held[: len(held) - torn])
    calls.extend([0] * 3)
    assert np.array_equal(
        score_variants(scorer, variants, journal=journal, key="a"), whole
    )
    many = len(np.unique(np.stack([variants.contigs, variants.positions]), axis=1).T)
    assert sum(calls[6:]) == many - (40 if torn == 0 else 20)
    other = SiteScorer(conv(), None, genome, LENGTH)
    assert np.allclose(
        score_variants(other, variants, journal=journal, key="b"), whole
    )  # of something else: anew


def test_transversions():
    nothing = {
        name: np.zeros(4, dtype=int)
        for name in ("contigs", "positions", "rows", "alleles")
    }
    ref, alt = (
        np.array([0, 1, 0, 2], dtype=np.uint8),
        np.array([2, 3, 1, 3], dtype=np.uint8),
    )  # A>G C>T A>C G>T
    variants = Variants(
        "x",
        ref=ref,
        alt=alt,
        **nothing,
        table=None,
        names={},
        skipped={},
        mismatches=[],
    )
    assert is_transversion(variants).tolist() == [False, False, True, True]


@pytest.mark.parametrize("kind", ["conv", "transformer", "3-mers"])
def test_pseudo_log_likelihoods_are_sums_over_masked_tokens(kind, genome):
    """Against one forward pass for each token, with the 16th ones around it masked too."""
    model = conv() if kind == "conv" else transformer(kmer=3 if kind == "3-mers" else 1)
    kmer = {"transformer": 1, "3-mers": 3}.get(kind)
    codec = None if kmer is None else find_codec(None, kmer)
    scorer = SiteScorer(model, codec, genome, LENGTH)
    codes = genome.take_padded(np.array([0, 0]), np.array([-5, 40]), LENGTH) & 7
    sums = pseudo_log_likelihoods(scorer, codes)
    batch = scorer.make_batch(codes)
    ids = batch["bases"] if codec is None else batch["input_ids"]
    is_eligible = scorer.model.masking.eligible(batch)
    if is_eligible.dtype != torch.bool:
        is_eligible = is_eligible == Role.HIDEABLE
    for row in range(2):
        total = 0.0
        for token in np.flatnonzero(is_eligible[row]).tolist():
            is_masked = is_eligible.clone()
            is_masked &= torch.arange(ids.shape[1]) % 16 == token % 16
            mask = build_mask(is_masked)
            logs = scorer.model.logits(batch, mask).log_softmax(dim=1).detach()
            order = is_masked.nonzero().tolist().index([row, token])
            total += float(logs[order, ids[row, token]])
        assert sums[row] == pytest.approx(total, rel=1e-9)


def test_indels_are_differences_of_windows(genome):
    scorer = SiteScorer(conv(), None, genome, LENGTH, both_strands=False)
    codes = genome.take_padded(np.array([0]), np.array([100]), 2 * LENGTH)[0] & 7
    letters = decode(codes)
    middle = LENGTH // 2
    position = 100 + middle
    longer = LongVariants()
    deletion, insertion = letters[middle : middle + 4], letters[middle]
    longer.append(0, position, deletion, deletion[0], 0, 0)
    longer.append(0, position, insertion, f"{insertion}GGG", 1, 0)
    texts = [
        letters[:LENGTH],
        (letters[: middle + 1] + letters[middle + 4 :])[:LENGTH],
        (letters[: middle + 1] + "GGG" + letters[middle + 1 :])[:LENGTH],
    ]
    by_ref, *by_alt = pseudo_log_likelihoods(scorer, np.stack(list(map(encode, texts))))
    assert score_longer(scorer, longer) == pytest.approx([x - by_ref for x in by_alt])
