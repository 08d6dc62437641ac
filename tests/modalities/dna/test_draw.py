"""Logos of expected bases: probabilities stand at their own bases."""

import numpy as np
import torch

from r2mae.modalities.dna.draw import _expected_bases, _logo
from r2mae.modalities.dna.tokens import make_codec, nucleotide_tokenizer


def test_probabilities_of_a_kmer_are_summed_for_each_of_its_bases():
    codec = make_codec(nucleotide_tokenizer(2), 2)
    logits = torch.full((1, len(codec.tokenizer)), -9.0)
    logits[0, codec.kmers[1]] = 9.0  # AC
    is_masked = torch.zeros(1, 5, dtype=torch.bool)  # border, three 2-mers, border
    is_masked[0, 2] = True
    expected = _expected_bases(logits.double(), is_masked, codec, (1, 6))
    assert np.isnan(expected[0, [0, 1, 4, 5]]).all()
    assert expected[0, 2].argmax() == 0
    assert expected[0, 3].argmax() == 1
    assert np.allclose(expected[0, 2:4].sum(axis=1), 1)


def test_a_certain_base_is_as_high_as_the_logo_and_an_unknown_one_is_absent():
    bases = np.array([0, 1, 2])
    expected = np.array([[np.nan] * 4, [0, 1, 0, 0], [0.25] * 4])
    logo = _logo(bases, expected)
    assert logo.count("transform=") == 1  # the certain C alone
    assert ">C</text>" in logo
    assert logo.count('opacity="0.45"') == 1  # the visible A
