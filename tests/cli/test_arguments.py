import pytest

from r2mae.cli.arguments import Parser, wing_of_run


def test_a_usage_error_is_one_line(capsys):
    parser = Parser(prog="r2mae check")
    parser.add_argument("recipe")
    with pytest.raises(SystemExit) as ended:
        parser.parse_args([])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("r2mae check: ")
    assert "recipe" in line


def test_the_wing_is_that_of_the_first_run_folder(tmp_path):
    for name, modality in (("run", "cell"), ("damaged", "[")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.yaml").write_text(f"modality: {modality}\n")
    run, damaged = str(tmp_path / "run"), str(tmp_path / "damaged")
    wing = wing_of_run(["--task", "knn", run])
    assert wing is not None
    assert wing.name == "cell"
    assert wing_of_run([damaged]) is None
    assert wing_of_run([str(tmp_path)]) is None
