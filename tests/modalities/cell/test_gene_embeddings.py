"""Gene embeddings of scGPT as `model.init_from`: its vectors by gene name, or refused."""

import json

import pytest
import torch
from torch import nn

from r2mae.errors import InputError
from r2mae.modalities.cell.data.splits import vocabulary
from r2mae.modalities.cell.wing import WING
from r2mae.models.tuning import build_classifier
from r2mae.recipe.load import load_recipe
from r2mae.training.start import describe_start
from tests.conftest import ROOT

PRETRAIN = str(ROOT / "recipes" / "cell" / "pbmc3k_transformer.yaml")
FINETUNE = str(ROOT / "recipes" / "cell" / "pbmc3k_finetune.yaml")
WIDTH = 16


class GeneEncoder(nn.Module):
    """The first layers of scGPT, under its names."""

    def __init__(self, num_tokens):
        super().__init__()
        self.embedding = nn.Embedding(num_tokens, WIDTH)
        self.enc_norm = nn.LayerNorm(WIDTH)
        nn.init.normal_(self.enc_norm.weight)
        nn.init.normal_(self.enc_norm.bias)

    def forward(self, rows):
        return self.enc_norm(self.embedding(rows))


def recipe_of(folder, source, more="", path=PRETRAIN):
    model = f"encoder: transformer, width: {WIDTH}, depth: 1, heads: 2"
    settings = [f"model={{{model}, init_from: {source}{more}}}"]
    if path == PRETRAIN:
        settings += ["data.genes={top_variable: 40}"]
    recipe = load_recipe(path, settings)
    (folder / "data").mkdir(exist_ok=True)
    return load_recipe(path, [*settings, *WING.stand_in(recipe, folder / "data")])


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def write(folder, genes, embsize=WIDTH):
    """A folder as scGPT publishes it; its rows are in another order than genes."""
    torch.manual_seed(0)
    tokens = ["<pad>", "<cls>", "<eoc>", *reversed(genes)]
    encoder = GeneEncoder(len(tokens))
    state = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    state["value_encoder.linear1.weight"] = torch.zeros(WIDTH, 1)
    folder.mkdir(exist_ok=True)
    torch.save(state, folder / "best_model.pt")
    rows = {token: number for number, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(rows))
    arguments = {"embsize": embsize, "nheads": 2, "n_bins": 51, "pad_value": -2}
    (folder / "args.json").write_text(json.dumps(arguments))
    return encoder, rows


@torch.no_grad()
def test_each_gene_starts_from_its_own_vector(here):
    random = WING.build_model(recipe_of(here, "null"))
    recipe = recipe_of(here, here / "scgpt")
    genes = vocabulary(recipe.data)
    known = genes[:30]
    encoder, rows = write(here / "scgpt", known)
    model = WING.build_model(recipe)
    expected = encoder(torch.tensor([rows[gene] for gene in known]))
    own = model.embed_genes.weight
    assert (own[:30] - expected).abs().max() < 1e-6
    assert torch.equal(own[30:], random.embed_genes.weight[30:])
    text = describe_start(model)
    assert "30 of 40 genes found, 75%): loads embed_genes.weight" in text
    assert "leaves value_encoder.linear1.weight" in text
    assert WING.checkpoint_facts(recipe)["genes"] == genes


@torch.no_grad()
def test_fine_tuning_starts_from_them_too(here):
    recipe = recipe_of(here, here / "scgpt", path=FINETUNE)
    genes = vocabulary(recipe.data)
    encoder, rows = write(here / "scgpt", genes)
    model = build_classifier(WING.build_encoder(recipe), 2, recipe.tune)
    expected = encoder(torch.tensor([rows[gene] for gene in genes]))
    assert (model.backbone.embed_genes.weight - expected).abs().max() < 1e-6


def without_norm(folder, genes):
    write(folder, genes)
    state = torch.load(folder / "best_model.pt")
    torch.save(
        {"encoder.embedding.weight": state["encoder.embedding.weight"]},
        folder / "best_model.pt",
    )


def repeated_rows(folder, genes):
    write(folder, genes)
    (folder / "vocab.json").write_text(json.dumps(dict.fromkeys(genes, 3)))


def rows_beyond_the_table(folder, genes):
    _, rows = write(folder, genes)
    rows[genes[0]] = 10_000
    (folder / "vocab.json").write_text(json.dumps(rows))


def pickled_code(folder, genes):
    write(folder, genes)
    torch.save(GeneEncoder(3), folder / "best_model.pt")


REFUSED = {
    "few genes": (
        lambda f, g: write(f, g[:19]),
        "",
        "half of the run's 40 genes, got 19",
    ),
    "width": (write, ", width: 32", "model.width must be 16, the embsize"),
    "args.json": (
        lambda f, g: write(f, g, 512),
        "",
        "embsize in args.json, 512, got 16",
    ),
    "mlp": (write, ", encoder: mlp", "model.encoder must be transformer to start"),
    "no norm": (without_norm, "", "got no encoder.enc_norm.weight"),
    "repeated rows": (repeated_rows, "", "gives each gene a row of its own"),
    "rows": (rows_beyond_the_table, "", "got 43 rows and ids up to 10,000"),
    "code": (pickled_code, "", "tensors and plain values, got pickled"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(here, name):
    damage, more, message = REFUSED[name]
    recipe = recipe_of(here, here / "scgpt")
    changed = dict(part.split(": ") for part in more.split(", ") if part)
    changed = {
        key: int(value) if value.isdigit() else value for key, value in changed.items()
    }
    model = recipe.model.model_copy(update=changed)
    recipe = recipe.model_copy(update={"model": model})
    damage(here / "scgpt", vocabulary(recipe.data))
    with pytest.raises(InputError, match=message) as caught:
        WING.build_model(recipe)
    assert "\n" not in str(caught.value)
