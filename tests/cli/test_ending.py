"""A library that is not installed: one line that names the extra, exit code 2."""

from argparse import Namespace

import pytest

from r2mae.cli.ending import end
from tests.blocked import run_blocked

RUN = "from r2mae.cli.main import main; raise SystemExit(main({!r}))"


@pytest.mark.parametrize(
    ("module", "recipe", "package", "extra"),
    [
        ("timm", "digits_demo", "timm", "vision"),
        ("transformers", "topics_demo", "transformers", "language"),
        ("tokenizers", "motifs_demo", "tokenizers", "dna"),
        ("scanpy", "pbmc68k_demo", "scanpy", "cell"),
    ],
)
def test_a_missing_library_names_the_extra(scratch, module, recipe, package, extra):
    command = ["check", recipe]
    if recipe == "motifs_demo":
        command += ["--set", "model={encoder: modernbert, width: 16, heads: 2}"]
    done = run_blocked({module}, RUN.format(command), cwd=scratch, check=2)
    rule = f"check needs {package}, which is not installed"
    remedy = f'Run: pip install "r2mae[{extra}]".'
    assert done.stderr == f"r2mae: {rule}. {remedy}\n"
    assert done.stdout == ""


def test_wandb_is_an_extra_too(scratch):
    command = ["pretrain", "digits_demo", "--set", "log=[wandb]"]
    done = run_blocked({"wandb"}, RUN.format(command), cwd=scratch, check=2)
    assert 'pip install "r2mae[wandb]"' in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (scratch / "runs").exists()


def test_a_module_of_no_extra_is_a_fault(scratch):
    code = RUN.format(["check", "digits_demo"])
    done = run_blocked({"torch"}, code, cwd=scratch, check=1)
    assert "ModuleNotFoundError: No module named 'torch'" in done.stderr


@pytest.mark.parametrize(
    "error",
    [
        OSError("91968 requested and 25568 written"),  # as numpy raises it
        RuntimeError("I/O error: No space left on device (os error 28)"),  # safetensors
    ],
)
def test_a_full_disk_without_an_error_number(capsys, error):
    assert end(error, Namespace()) == 2
    line = "r2mae: the disk must be writable, got No space left on device\n"
    assert capsys.readouterr().err == line
