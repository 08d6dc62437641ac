"""Published layouts as `model.init_from`: features as transformers has them, or refused."""

import json
from itertools import product

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForMaskedLM, AutoTokenizer, PreTrainedTokenizerFast

from r2mae.cli.main import main
from r2mae.errors import InputError
from r2mae.interop.export_transformer import export_classifier
from r2mae.masking.mask import build_mask
from r2mae.modalities.dna.recipe_data import codec_of
from r2mae.modalities.dna.wing import WING
from r2mae.recipe.load import load_recipe
from r2mae.recipe.run import load_run
from tests.conftest import ROOT

PRETRAIN = str(ROOT / "recipes" / "dna" / "motifs_demo.yaml")
FINETUNE = str(ROOT / "recipes" / "dna" / "gue_finetune.yaml")
SHAPE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def six_mers(folder):
    """Nucleotide Transformer 1: 6-mers, bases and N in vocab.txt; no token ends a row."""
    tokens = ["<unk>", "<pad>", "<mask>", "<cls>", "<eos>", "<bos>"]
    tokens += ["".join(letters) for letters in product("ATCG", repeat=6)]
    write_esm(folder, [*tokens, *"ATCGN"], None, token_dropout=True)


def esm_bases(folder):
    """An ESM of single bases, with rotary positions, as ESM-2 has."""
    tokens = ["<cls>", "<pad>", "<eos>", "<unk>", *"ACGTN", "<mask>"]
    write_esm(folder, tokens, "<eos>", position_embedding_type="rotary")


def write_esm(folder, tokens, last, **options):
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(tokens))
    place = str(folder / "vocab.txt")
    transformers.EsmTokenizer(place, eos_token=last).save_pretrained(folder)
    config = transformers.EsmConfig(
        **SHAPE,
        vocab_size=len(tokens),
        pad_token_id=tokens.index("<pad>"),
        mask_token_id=tokens.index("<mask>"),
        max_position_embeddings=66,
        **options,
    )
    save(config, folder)


def bert_bases(folder):
    """A BERT of single bases in lower case, whose tokenizer splits every letter."""
    write_fast(folder, models.WordLevel, [*SPECIAL, *"tgcan"])
    save(transformers.BertConfig(**SHAPE, vocab_size=10), folder)


def overlapping(folder):
    """DNABERT: the user writes overlapping 3-mers with spaces between them."""
    kmers = ["".join(letters) for letters in product("ATCG", repeat=3)]
    write_fast(folder, models.WordLevel, [*SPECIAL, *kmers], split=False)
    save(transformers.BertConfig(**SHAPE, vocab_size=69), folder)


def bpe(folder):
    """Byte-pair encoding as in DNABERT-2 and GENA-LM, here of a ModernBERT."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    trainer = trainers.BpeTrainer(vocab_size=60, special_tokens=SPECIAL)
    tokenizer.train_from_iterator(["ACGTTGCATTAGGACC" * 20, "GATTACA" * 9], trainer)
    finish(tokenizer, folder)
    ids = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3}
    ids |= {"bos_token_id": 2, "eos_token_id": 3}
    save(transformers.ModernBertConfig(**SHAPE, vocab_size=60, **ids), folder)


def write_fast(folder, kind, words, split=True):
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(kind(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if split:
        tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    finish(tokenizer, folder)


def finish(tokenizer, folder):
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {f"{word[1:-1].lower()}_token": word for word in SPECIAL}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    fast.save_pretrained(folder)


def save(config, folder):
    torch.manual_seed(0)
    model = AutoModelForMaskedLM.from_config(config)
    for parameter in model.parameters():  # biases too, so that none may be forgotten
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)


LAYOUTS = {
    "Nucleotide Transformer": (six_mers, "esm", 6),
    "ESM of bases": (esm_bases, "esm", 1),
    "BERT of bases": (bert_bases, "bert", 1),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    letters = np.random.default_rng(0).choice(list("ACGT"), 3000)
    (tmp_path / "genome.fa").write_text(">one\n" + "".join(letters) + "\n")
    return tmp_path


def pretraining(source, encoder, kmer=1, more=""):
    length = 60 if kmer == 6 else 48
    return (
        f"model={{encoder: {encoder}, init_from: {source}, kmer: {kmer}{more}}}",
        f"data={{root: genome.fa, length: {length}, held_out: 0.2}}",
    )


@pytest.mark.parametrize("name", LAYOUTS)
@torch.no_grad()
def test_features_and_predictions_are_those_of_transformers(here, name):
    write, encoder, kmer = LAYOUTS[name]
    write(here / "theirs")
    recipe = load_recipe(PRETRAIN, list(pretraining(here / "theirs", encoder, kmer)))
    model = WING.build_model(recipe).eval()
    batch = WING.open_split(recipe, "train").load(torch.arange(3), None, 0)
    texts = ["".join("ACGT"[base] for base in row) for row in batch["bases"].tolist()]
    if name == "BERT of bases":
        texts = [text.lower() for text in texts]
    tokenizer = AutoTokenizer.from_pretrained("theirs")
    whole = AutoModelForMaskedLM.from_pretrained("theirs").eval()
    inputs = {
        "input_ids": torch.tensor([tokenizer(text)["input_ids"] for text in texts])
    }
    hidden = whole.base_model(**inputs).last_hidden_state
    assert (model.embed(batch) - hidden.mean(dim=1)).abs().max() < 1e-6

    section = (
        f"model={{init_from: {here / 'theirs'}, encoder: {encoder}, kmer: {kmer}}}"
    )
    tuning = load_recipe(FINETUNE, [section, "data.length=60"])
    features = WING.build_encoder(tuning).eval().embed(batch)
    assert (features - hidden.mean(dim=1)).abs().max() < 1e-6

    is_masked = torch.zeros(batch["input_ids"].shape, dtype=torch.bool)
    is_masked[:, [2, 5, 6]] = True
    logits = model.logits(batch, build_mask(is_masked))
    inputs["input_ids"][:, [2, 5, 6]] = tokenizer.mask_token_id
    expected = whole(**inputs).logits[:, [2, 5, 6]].flatten(0, 1)
    assert (logits - expected).abs().max() < 1e-6 * expected.abs().max()


def test_a_nucleotide_transformer_is_trained_further_and_exported(here):
    six_mers(here / "theirs")
    words = [
        *pretraining(here / "theirs", "esm", 6),
        "batch={global_samples: 4}",
        "schedule={steps: 2}",
        "watch={samples: 8, ratios: [0.15]}",
    ]
    overrides = [part for word in words for part in ("--set", word)]
    assert main(["pretrain", PRETRAIN, "--name", "more", *overrides]) == 0
    run = load_run("runs/more")
    before = AutoModelForMaskedLM.from_pretrained("theirs").state_dict()
    trained = run.model.whole.state_dict()
    name = "esm.encoder.layer.0.intermediate.dense.weight"
    assert 0 < (trained[name] - before[name]).abs().max() < 0.1
    assert "esm.contact_head.regression.weight" not in trained
    for target in ("transformers", "torch_export"):
        assert main(["export", "runs/more", target, "--to", target]) == 0
    theirs, ours = (
        AutoTokenizer.from_pretrained(place) for place in ("theirs", "transformers")
    )
    text = "ACGTACNACGTACGGATTACA<mask>GGG"
    assert theirs(text)["input_ids"] == ours(text)["input_ids"]


REFUSED = {
    "6-mers as bases": (six_mers, "esm", 1, "are 6-mers: set model.kmer to 6"),
    "bases as 6-mers": (esm_bases, "esm", 6, "are 1-mers: set model.kmer to 1"),
    "overlapping k-mers": (overlapping, "bert", 3, "60 tokens of 60 3-mers in a row"),
    "BPE": (bpe, "modernbert", 1, "60 tokens of 60 bases .*modality: language"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_tokens_are_refused(here, name):
    write, encoder, kmer, message = REFUSED[name]
    write(here / "theirs")
    recipe = load_recipe(PRETRAIN, list(pretraining(here / "theirs", encoder, kmer)))
    with pytest.raises(InputError, match=message):
        WING.build_model(recipe)


@pytest.mark.parametrize("write", [bpe, bert_bases])
def test_a_tokenizer_of_bases_beside_a_model_of_other_tokens_is_refused(here, write):
    """The model has an embedding for each id, so that its weights would fit."""
    write(here / "theirs")
    write_fast(here / "mine", models.WordLevel, [*SPECIAL, *"acgtn"])
    encoder = "bert" if write is bert_bases else "modernbert"
    settings = pretraining(
        here / "theirs", encoder, more=f", tokenizer: {here / 'mine'}"
    )
    recipe = load_recipe(PRETRAIN, list(settings))
    with pytest.raises(InputError, match="must make 60 tokens of 60 bases in a row"):
        WING.build_model(recipe)


def test_code_of_its_own_further_weights_and_no_tokenizer_are_refused(here):
    """DNABERT-2, GENA-LM and Nucleotide Transformer 2 run code that the hub holds."""
    bert_bases(here / "theirs")
    recipe = load_recipe(PRETRAIN, list(pretraining(here / "theirs", "bert")))
    (here / "theirs" / "tokenizer.json").rename(here / "tokenizer.json")
    (here / "theirs" / "tokenizer_config.json").rename(here / "tokenizer_config.json")
    with pytest.raises(InputError, match="must have the tokenizer.*special tokens alo"):
        WING.build_model(recipe)
    (here / "tokenizer.json").rename(here / "theirs" / "tokenizer.json")
    (here / "tokenizer_config.json").rename(here / "theirs" / "tokenizer_config.json")
    place = here / "theirs" / "config.json"
    config = json.loads(place.read_text())
    code = {"auto_map": {"AutoModelForMaskedLM": "bert_layers.BertForMaskedLM"}}
    place.write_text(json.dumps(config | code))
    with pytest.raises(
        InputError, match="code of its own, bert_layers.BertForMaskedLM"
    ):
        WING.build_model(recipe)
    place.write_text(json.dumps(config))
    weights = AutoModelForMaskedLM.from_pretrained("theirs").state_dict()
    further = "bert.encoder.layer.0.attention.self.distance_embedding.weight"
    weights[further] = torch.zeros(4, 4)
    torch.save(weights, here / "theirs" / "pytorch_model.bin")
    (here / "theirs" / "model.safetensors").unlink()
    with pytest.raises(InputError, match=f"a further weight of the encoder, {further}"):
        WING.build_model(recipe)


def test_a_classifier_from_a_nucleotide_transformer_is_exported(here):
    six_mers(here / "theirs")
    section = (
        f"model={{init_from: {here / 'theirs'}, encoder: esm, kmer: 6, pooling: cls}}"
    )
    recipe = load_recipe(FINETUNE, [section, "data.length=60", "tune.hidden=null"])
    model = WING.build_model(recipe, 2)
    tokenizer = codec_of(recipe).tokenizer
    assert export_classifier(model, tokenizer, here / "out", ["no", "yes"]) < 1e-6
