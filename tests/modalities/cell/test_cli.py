"""Cells from the command line: build, pretrain, embed, evaluate, finetune, go on; bad input is one line."""

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

import r2mae as r2mae_package
from r2mae.cli.main import main
from r2mae.errors import InputError
from tests.conftest import ROOT, make_cells, r2mae
from tests.modalities.cell.data.formats import doubled

RECIPE = ROOT / "recipes" / "cell" / "pbmc3k_mlp.yaml"
SMALL = (
    "data={root: cells.h5ad, label_column: kind, held_out: 0.2}",
    "model={encoder: mlp, width: 8, depth: 1, hidden: 16}",
    "batch={global_samples: 16}",
    "schedule={steps: 12}",
    "watch={samples: 20, ratios: [0.3]}",
    "checkpoint={every_steps: 4}",
)
TRANSFORMER = (
    "model={encoder: transformer, width: 16, depth: 1, heads: 2}",
    "mask={expressed_share: 0.5}",
)


def settings(*more):
    return [word for setting in (*SMALL, *more) for word in ("--set", setting)]


def said(capsys, *arguments):
    """stdout of a subcommand that ends well."""
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def refused(capsys, *arguments):
    """The one line of a subcommand that ends badly."""
    assert main([str(argument) for argument in arguments]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("r2mae: ")
    return line


@pytest.fixture(scope="module", params=["mlp", "transformer"])
def trained(request, tmp_path_factory):
    """A folder with cells.h5ad and a run on them."""
    folder = tmp_path_factory.mktemp("cells")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        make_cells(200, 40).write_h5ad("cells.h5ad")
        more = TRANSFORMER if request.param == "transformer" else ()
        assert main(["pretrain", str(RECIPE), "--name", "run", *settings(*more)]) == 0
    return folder


# Files in and out, and refusals, do not depend on the encoder.
ONE_ENCODER = pytest.mark.parametrize("trained", ["mlp"], indirect=True)


@pytest.fixture
def here(trained, monkeypatch):
    monkeypatch.chdir(trained)
    monkeypatch.setenv("XDG_CACHE_HOME", str(trained / "cache"))
    return trained


def test_build_and_inspect(scratch, capsys):
    make_cells(30, 20).write_h5ad("one.h5ad")
    make_cells(20, 25, seed=1).write_h5ad("two.h5ad")
    printed = said(capsys, "data", "build", "cell", "out/store", "*.h5ad")
    assert "50 cells x 25 genes" in printed
    report = json.loads(said(capsys, "data", "inspect", "out/store", "--json"))
    assert [file["missing"] for file in report["files"]] == [5, 0]
    assert report["obs"] == {"kind": 2, "donor": 3}
    said(capsys, "pretrain", RECIPE, "--name", "s", *settings("data.root=out/store"))
    assert "must exist" in refused(
        capsys, "data", "build", "cell", "out/other", "nope*.h5ad"
    )
    assert not (scratch / "out" / "other").exists()
    assert "out must be a store, got a folder that is no store" in refused(
        capsys, "data", "inspect", "out"
    )


def test_embed_adds_to_a_copy(here, capsys):
    printed = said(capsys, "embed", "runs/run", "cells.h5ad", "-o", "out.h5ad")
    assert "40 of the run's 40 genes in the file, 0 missing" in printed
    before, after = anndata.read_h5ad("cells.h5ad"), anndata.read_h5ad("out.h5ad")
    assert np.array_equal(before.X.toarray(), after.X.toarray())
    assert after.obs.equals(before.obs)
    said(capsys, "embed", "runs/run", "cells.h5ad", "-o", "out.npy")
    assert np.allclose(np.load("out.npy"), after.obsm["X_r2mae"], atol=1e-5)
    assert after.obsm["X_r2mae"].std(axis=0).min() > 0


def test_embed_of_other_formats_has_the_names_of_their_cells(here, capsys):
    cells = make_cells(20, 40)
    cells.obs_names = [f"cell {number} x" for number in range(20)]
    cells.write_zarr("spaces.zarr")
    said(capsys, "embed", "runs/run", "spaces.zarr", "-o", "spaces.h5ad")
    out = anndata.read_h5ad("spaces.h5ad")
    assert list(out.obs_names) == list(cells.obs_names)
    assert out.obsm["X_r2mae"].shape[0] == 20


def test_embed_of_several_files_names_their_cells(here, capsys):
    for number in (1, 2):
        make_cells(20, 40, seed=number).write_h5ad(f"donor {number}.h5ad")
    call = ("embed", "runs/run", "donor*.h5ad", "-o")
    said(capsys, *call, "several.h5ad")
    assert list(anndata.read_h5ad("several.h5ad").obs["file"].unique()) == [
        "donor 1",
        "donor 2",
    ]
    said(capsys, *call, "several.npy")
    names = pd.read_csv("several.names.csv")["name"]
    assert names.is_unique
    assert names[20] == "donor 2.h5ad, cell cell_0"


def test_embed_of_other_genes(here, capsys):
    cells = make_cells(20, 60)[:, 15:].copy()
    cells[:, ::-1].copy().write_h5ad("other.h5ad")
    printed = said(
        capsys, "embed", "runs/run", "other.h5ad", "-o", "more.h5ad", "--json"
    )
    assert json.loads(printed)["genes"] == {
        "known": 40,
        "found": 25,
        "missing": 15,
        "ignored": 20,
    }
    line = refused(
        capsys,
        "embed",
        "runs/run",
        "other.h5ad",
        "-o",
        "none.h5ad",
        "--min-overlap",
        "0.9",
    )
    assert "at least 90% of the 40 genes, got 25" in line
    assert not (here / "none.h5ad").exists()
    assert "in an existing folder" in refused(
        capsys, "embed", "runs/run", "cells.h5ad", "-o", "out.csv"
    )
    assert "must not write over DATA" in refused(
        capsys, "embed", "runs/run", "cells.h5ad", "-o", "cells.h5ad"
    )
    line = refused(capsys, "embed", "runs/run", "test", "-o", "out.h5ad")
    assert "must be a .npy or .parquet file in an existing folder" in line
    assert "name the file as DATA, not a split" in line


def test_evaluate_tasks(here, capsys):
    for task in ("knn", "linear_probe"):
        row = json.loads(
            said(
                capsys, "evaluate", "runs/run", "--task", task, "--baselines", "--json"
            )
        )
        assert set(row["scores"]) == {"pretrained", "untrained", "PCA-50"}
        assert row["scores"]["PCA-50"]["accuracy"] > 0.7
    call = ("evaluate", "runs/run", "--task", "knn", "--baselines", "--hidden", "0.5")
    hidden = json.loads(said(capsys, *call, "--json"))
    assert hidden["scores"]["PCA-50"]["accuracy"] > 0.5
    rows = json.loads(
        said(
            capsys,
            "evaluate",
            "runs/run",
            "--task",
            "imputation",
            "--ratios",
            "0.3",
            "--json",
        )
    )["rows"]
    assert set(rows[0]["scores"]) == {"run", "gene mean", "PCA-50", "kNN-15"}
    assert "a column 'knd' in obs" in refused(
        capsys, "evaluate", "runs/run", "--task", "knn", "--label", "knd"
    )
    by_donor = said(capsys, "evaluate", "runs/run", "--task", "knn", "--label", "donor")
    assert "knn" in by_donor


@ONE_ENCODER
def test_clusters_are_scored_and_drawn(here):
    # In a process of its own: UMAP's threads would hang every process that tests fork later.
    clustering = (
        "evaluate",
        "runs/run",
        "--task",
        "clustering",
        "--baselines",
        "--umap",
        "u.png",
        "--json",
    )
    scores = json.loads(r2mae(*clustering, cwd=here, check=0).stdout)["scores"]
    assert scores["PCA-50"]["nmi"] > 0.2
    assert (here / "u.png").stat().st_size > 5000


@ONE_ENCODER
def test_a_run_is_evaluated_where_its_data_is_gone(here, capsys):
    (here / "cells.h5ad").rename(here / "gone.h5ad")
    try:
        said(capsys, "embed", "runs/run", "gone.h5ad", "-o", "gone.npy")
        assert "must exist" in refused(capsys, "evaluate", "runs/run", "--task", "knn")
    finally:
        (here / "gone.h5ad").rename(here / "cells.h5ad")


def test_finetune_keeps_the_runs_genes(here, capsys):
    recipe = ROOT / "recipes" / "cell" / "pbmc3k_finetune.yaml"
    shape = json.loads(
        (here / "runs/run/checkpoints/step_12/manifest.json").read_text()
    )["recipe"]["model"]
    known = {
        key: shape[key] for key in ("encoder", "width", "depth", "heads", "hidden")
    } | {"init_from": "runs/run"}
    more = [
        f"model={json.dumps(known)}",
        "repeat={seeds: 1, labels_per_class: [5, all]}",
        "watch={samples: 20}",
    ]
    scores = json.loads(
        said(
            capsys,
            "finetune",
            recipe,
            "--name",
            f"tuned_{shape['encoder']}",
            *settings(*more),
            "--json",
        )
    )
    assert scores["classes"] == ["B", "T"]
    assert scores["scores"][-1]["accuracy"] > 0.5
    run = f"runs/tuned_{shape['encoder']}/labels_all/seed_0"
    told = json.loads(
        said(capsys, "predict", run, "cells.h5ad", "-o", "types.csv", "--json")
    )
    assert (
        sum(told["classes"].values())
        == told["samples"]
        == len(pd.read_csv("types.csv"))
    )
    line = refused(
        capsys,
        "finetune",
        recipe,
        "--name",
        "no",
        *settings(*more, "data.genes.min_cells=3"),
    )
    assert "data.genes must be left out with model.init_from" in line
    line = refused(
        capsys, "finetune", recipe, "--name", "no", *settings(*more, "model.width=32")
    )
    assert "must fit the recipe's model" in line


@ONE_ENCODER
def test_a_stopped_run_goes_on_with_its_genes(here, capsys):
    name = ["--name", "again", *settings("schedule={steps: 8}")]
    said(capsys, "pretrain", RECIPE, *name)
    manifest = json.loads(
        (here / "runs/again/checkpoints/step_8/manifest.json").read_text()
    )
    assert manifest["genes"] == [f"gene_{n}" for n in range(40)]


BAD = {
    "data.values=scaled": "likelihood must be mse for scaled values",
    "data.matrix=raw": "must have the matrix 'raw', got X",
    "data.genes.by=id": "must have 'id' in var",
    "data.genes.min_cells=999": "must leave at least 2 genes, got 0",
    "data.genes.names=[a]": "names must be at least 2",
    "data.genes.names=nope.txt": "a text file with a gene a line",
    "data.test={column: donor}": "must be {share: 0.2}, or",
    "data.test={column: donr, values: [d0]}": "column 'donr' in obs",
    "data.min_genes=999": "must hold cells of the train split, got none",
    "data.root=nope.h5ad": "must exist",
    "data.label_column=knd": "column 'knd' in obs",
    "model={encoder: transformer}": "expressed_share must be given for a transformer",
    "model={encoder: transformer, width: 10}": "width must be divisible by heads",
    "mask.pattern=block": "pattern must be 'random' or 'column'",
}


@ONE_ENCODER
@pytest.mark.parametrize("setting", BAD)
def test_bad_settings_are_one_line(setting, here, capsys):
    line = refused(capsys, "pretrain", RECIPE, "--name", "bad", *settings(setting))
    assert BAD[setting] in line
    assert not (here / "runs" / "bad").exists()


@ONE_ENCODER
def test_a_column_pattern_and_dense_decoys_train(here, capsys):
    for name, mask in (
        ("columns", "mask={pattern: column}"),
        ("shares", "mask={expressed_share: 0.5, scope: sample}"),
    ):
        said(
            capsys,
            "pretrain",
            RECIPE,
            "--name",
            name,
            *settings(mask, "schedule={steps: 4}"),
        )


def test_an_anndata_in_memory_is_embedded_as_its_file_is(here, capsys):
    run, cells = r2mae_package.load("runs/run"), make_cells(50, 40, seed=1)
    cells.write_h5ad("memory.h5ad")
    said(capsys, "embed", "runs/run", "memory.h5ad", "-o", "memory.npy")
    assert np.array_equal(run.embed(cells), np.load("memory.npy"))
    shuffled = cells[:, ::-1].copy()
    shuffled.obs["odd"] = [{"no": "HDF5"}] * 50  # columns that cannot be written
    assert np.allclose(run.embed(shuffled), run.embed(cells), atol=1e-6)
    with pytest.warns(
        UserWarning, match="2 of the run's 40 genes are missing .*gene_38"
    ):
        run.embed(cells[:, :38].copy())
    with pytest.raises(InputError, match="must have at least 50% of the 40 genes"):
        run.embed(cells[:, :10].copy())
    with pytest.raises(InputError, match="must be an AnnData of cells, got ndarray"):
        run.embed(cells.X.toarray())
    empty = cells.copy()
    empty.X[3] = 0
    with pytest.raises(InputError, match="got 1 empty cells. Filter them first"):
        run.embed(empty)
    other = cells.copy()
    other.X = cells.X.toarray().astype(object)
    with pytest.raises(InputError, match="must have real numbers in X, got object"):
        run.embed(other)
    other.X = cells.X.toarray()
    other.X[0, 0] = np.nan
    with pytest.raises(InputError, match="^AnnData: X must hold raw counts .* got nan"):
        run.embed(other)


def test_another_matrix_is_read_where_it_is_named(here, capsys):
    cells = make_cells(50, 40, seed=1)
    run = r2mae_package.load("runs/run")
    features = run.embed(cells)
    cells.layers["counts"], cells.X = cells.X, np.log1p(cells.X.toarray())
    cells.write_h5ad("layered.h5ad")
    call = ("embed", "runs/run", "layered.h5ad", "-o", "layered.npy")
    assert (
        "layers[counts] looks raw: choose it by data.matrix, or --matrix."
        in refused(capsys, *call)
    )
    said(capsys, *call, "--matrix", "layers[counts]")
    assert np.array_equal(np.load("layered.npy"), features)
    assert "got X, layers[counts]. Name another one: data.matrix, or --matrix." in (
        refused(capsys, *call, "--matrix", "raw")
    )
    with pytest.raises(InputError, match=r"embed\(adata, matrix='layers\[counts\]'\)"):
        run.embed(cells)
    with pytest.raises(InputError, match=r"got X, layers\[counts\]\. Name another one"):
        run.embed(cells, matrix="raw")
    with pytest.raises(InputError, match="matrix must be a name, got 3"):
        run.embed(cells, matrix=3)
    with pytest.raises(InputError, match="got 'matrx'. Did you mean matrix?"):
        run.embed(cells, matrx="X")
    assert np.array_equal(run.embed(cells, matrix="layers[counts]"), features)
    odd = make_cells(60, 40)
    odd.layers["odd"] = odd.X.toarray()
    odd.layers["odd"][55, 0] = 0.5
    with pytest.raises(
        InputError, match=r"^AnnData: layers\[odd\] must hold raw counts"
    ):
        run.embed(odd, matrix="layers[odd]")
    batch = run.prepare(cells, matrix="layers[counts]")
    assert len(batch["indices"]) == 50
    cells.var["symbol"], cells.var_names = cells.var_names, [str(n) for n in range(40)]
    again = run.embed(cells, matrix="layers[counts]", genes_by="symbol")
    assert np.array_equal(again, features)
    without = run.embed(cells[:, 2:], matrix="layers[counts]", genes_by="symbol")
    cells.var["symbol"] = cells.var["symbol"].where(np.arange(40) > 1)
    again = run.embed(cells, matrix="layers[counts]", genes_by="symbol")
    assert np.array_equal(again, without)


def test_check_names_cells_left_out_and_genes_in_no_file(scratch, capsys):
    """min_genes counts the genes of the file, as quality control does, not those that are chosen."""
    cells = make_cells(60, 40)
    counts = np.ones((60, 40), dtype=np.float32)
    counts[:5, 10:] = 0  # cells of 10 genes
    counts[5:8, :3] = 0  # and of none of the chosen ones
    cells.X = counts
    cells.write_h5ad("cells.h5ad")
    Path("genes.txt").write_text("gene\ngene_0\ngene_1\ngene_2\n")  # with a header
    data = "data={root: cells.h5ad, min_genes: 20, genes: {names: genes.txt}}"
    shown = said(capsys, "check", RECIPE, *settings(data))
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "genes 1 of the model's 4 are in no file, the first gene" in lines
    left_out = (
        "left out: by data.min_genes, data.min_counts, or without any of the model's"
    )
    assert f"cells 8 of 60 {left_out} genes" in lines
    data = "data={root: cells.h5ad, min_genes: 41}"
    expected = "0 of 60 cells express a gene of the model and pass data.min_genes"
    assert expected in refused(capsys, "check", RECIPE, *settings(data))


@ONE_ENCODER
def test_a_split_of_data_that_has_changed_since_training_is_named(here, capsys):
    """The new test split may hold cells that the run was trained on."""
    changed = ("data={root: changed.h5ad, label_column: kind}",)
    make_cells(60, 40).write_h5ad("changed.h5ad")
    command = ("pretrain", RECIPE, "--name", "changed", *settings(*changed))
    said(capsys, *command)
    evaluate = ("evaluate", "runs/changed", "--task", "knn", "--json")
    embed = ("embed", "runs/changed", "test", "-o", "features.npy")
    assert main(list(evaluate)) == main(list(embed)) == 0
    printed = capsys.readouterr()
    assert "has changed" not in printed.err
    assert "data_changed" not in printed.out
    make_cells(70, 40).write_h5ad("changed.h5ad")
    assert main(list(evaluate)) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["data_changed"] is True
    assert "runs/changed: the data has changed since training on 46 sam" in printed.err
    assert main(list(embed)) == 0
    assert "test samples may be among those" in capsys.readouterr().err
    Path("changed.h5ad").unlink()
    assert "changed.h5ad must exist" in refused(capsys, *evaluate)


def test_masks_are_shown_before_the_data_was_opened(scratch, capsys):
    shown = said(capsys, "mask", "pbmc68k_demo", "--positions", "0:1")
    assert "step 2" in shown


def write_odd_cells(path, fraction=0.3):
    """Counts with an antibody, a symbol of two ids, a doubled entry and a fraction."""
    cells = make_cells(60, 40)
    counts = cells.X.toarray()
    counts[0, 0] += fraction
    cells.X = doubled(counts)
    cells.var["gene_ids"] = [f"ENSG{n:011d}.{n}" for n in range(40)]
    cells.var["feature_types"] = ["Gene Expression"] * 39 + ["Antibody Capture"]
    names = list(cells.var_names)
    cells.var_names = [*names[:38], names[3], names[39]]
    cells.obs["cluster"] = [0.0, 1.0, np.nan] * 20
    cells.write_h5ad(path)
    return cells


def test_odd_files_are_read_on_request_and_described(scratch, capsys):
    write_odd_cells("odd.h5ad")
    build = ("data", "build", "cell", "store", "odd.h5ad")
    assert "--sum-duplicates" in refused(capsys, *build)
    assert "--round-counts" in refused(capsys, *build, "--sum-duplicates")
    printed = said(capsys, *build, "--sum-duplicates", "--round-counts")
    for note in (
        "60 cells x 38 genes",
        "features other than genes left out: 1 Antibody Capture",
        "genes summed with another of the same name: 1",
        "doubled entries of a gene and cell summed: ",
        "values rounded to whole counts: 1",
    ):
        assert note in printed
    on_request = [
        "data={root: odd.h5ad, label_column: cluster, round_counts: true, "
        "genes: {by: gene_ids}}"
    ]
    printed = said(capsys, "check", RECIPE, *settings(*on_request))
    assert "cluster: 2 classes, from whole numbers; 40 of 60 cells have one" in printed
    assert "values rounded to whole counts: 1" in printed


@ONE_ENCODER
def test_embed_reads_odd_files_on_request(here, capsys):
    cells = write_odd_cells("odd.h5ad")
    embed = ("embed", "runs/run", "odd.h5ad", "-o", "odd.npy")
    assert "must have unique gene names" in refused(capsys, *embed)
    assert "--round-counts" in refused(capsys, *embed, "--sum-duplicates")
    printed = said(capsys, *embed, "--sum-duplicates", "--round-counts")
    assert "38 of the run's 40 genes in the file" in printed
    assert "values rounded to whole counts: 1" in printed
    line = refused(capsys, *embed, "--genes-by", "gene_ids", "--round-counts")
    assert "of the 40 genes, got 0" in line
    line = refused(capsys, *embed, "--genes-by", "nope")
    assert "must have 'nope' in var" in line
    run = r2mae_package.load("runs/run")
    cells.X = np.round(cells.X.toarray())
    with pytest.raises(InputError, match="AnnData must have unique gene names"):
        run.embed(cells)
    unique = cells[:, [*range(38), 39]].copy()
    with pytest.warns(UserWarning, match="2 of the run's 40 genes are missing"):
        features = run.embed(unique)  # without the antibody
    assert np.isfinite(features).all()
    unique.X[0, 0] = 1e30
    with pytest.raises(InputError, match="^AnnData: X must hold values of at most"):
        run.embed(unique)


SCALED = {
    "data.round_counts=true": "data.values must be counts to round",
    "data.genes.duplicates=sum": "data.values must be counts to round",
}


@ONE_ENCODER
@pytest.mark.parametrize("setting", SCALED)
def test_scaled_values_are_not_rounded_or_summed(setting, here, capsys):
    scaled = ("data.values=scaled", "model.likelihood=mse", setting)
    line = refused(capsys, "pretrain", RECIPE, "--name", "bad", *settings(*scaled))
    assert SCALED[setting] in line


def test_tokens_are_the_cell_s_and_those_of_its_expressed_genes(here, capsys):
    counts = anndata.read_h5ad("cells.h5ad").X.toarray()
    tokens = ("embed", "runs/run", "cells.h5ad", "--tokens", "-o")
    run = r2mae_package.load("runs/run")
    features = run.embed(anndata.read_h5ad("cells.h5ad"))
    if run.recipe.model.encoder == "mlp":
        said(capsys, *tokens, "tokens.npy")
        assert np.array_equal(np.load("tokens.npy"), features[:, None])
        return
    assert "must be a .npz file" in refused(capsys, *tokens, "tokens.npy")
    printed = said(capsys, *tokens, "tokens.npz")
    assert "200 samples, " in printed
    archive = np.load("tokens.npz")
    lengths = 1 + (counts > 0).sum(axis=1)
    assert np.array_equal(np.diff(archive["offsets"]), lengths)
    first = archive["tokens"][archive["offsets"][:-1]]
    np.testing.assert_allclose(first, features, atol=1e-5)


def test_clustering_reads_a_layer_and_other_tasks_do_not(here, capsys):
    evaluate = ("evaluate", "runs/run", "--json", "--task")
    scores = [
        json.loads(said(capsys, *evaluate, "clustering", "--layer", layer))
        for layer in ("1", "last")
    ]
    width = r2mae_package.load("runs/run").model.num_layers
    assert (scores[0]["scores"] == scores[1]["scores"]) == (width == 1)
    line = refused(capsys, *evaluate, "imputation", "--layer", "1")
    assert "tasks that read features (knn, linear_probe" in line
    assert "got imputation. Run it without them." in line


@ONE_ENCODER
def test_a_report_maps_held_out_cells_by_class(here, capsys):
    said(capsys, "report", "runs/run", "-o", "page.html")
    page = (here / "page.html").read_text()
    assert "PCA of the features of 32 held-out cells, without masking." in page
    assert "No pictures" not in page
