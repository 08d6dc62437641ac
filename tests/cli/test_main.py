import importlib
import os
import signal
import subprocess
import sys
import time

import pytest

from r2mae.cli.interrupt import exit_on_interrupted_import
from r2mae.cli.main import COMMANDS, main
from r2mae.modalities import BUILDS, BUILT_IN, SUBCOMMANDS, TASKS, find_wing
from tests.conftest import ROOT, r2mae


def test_help_loads_no_heavy_library():
    code = (
        "import sys; from r2mae.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'numpy', 'pydantic', 'scanpy', 'timm', 'pytorch_lightning'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_is_quick():
    times = []
    for _ in range(3):
        start = time.perf_counter()
        r2mae("--help", check=0)
        times.append(time.perf_counter() - start)
    print(
        f"r2mae --help: {min(times):.3f} s"
    )  # reported, not judged: the test above is what makes it so


def test_every_command_has_a_module_and_help(capsys):
    for name, text in COMMANDS.items():
        module = importlib.import_module(f"r2mae.cli.{name.replace('-', '_')}")
        assert callable(module.run)
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
        assert text in " ".join(capsys.readouterr().out.split())


def test_help_lists_exactly_what_the_wings_have():
    for name in BUILT_IN:
        wing = find_wing(name)
        assert wing.name == name
        assert set(wing.subcommands) == {
            subcommand
            for subcommand, (owner, _) in SUBCOMMANDS.items()
            if owner == name
        }
        assert set(wing.builds) == {
            kind for kind, (owner, _) in BUILDS.items() if owner == name
        }
        assert tuple(wing.tasks) == TASKS[name]
        assert not wing.builds or name in wing.builds  # one name for a modality
        assert all(
            wing.subcommands[subcommand].help == text
            for subcommand, (owner, text) in SUBCOMMANDS.items()
            if owner == name
        )


def test_an_unknown_command_is_one_line(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["pretrane"])
    assert ended.value.code == 2
    assert "pretrane" in capsys.readouterr().err


def test_python_dash_m_works():
    done = subprocess.run(
        [sys.executable, "-m", "r2mae", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("r2mae 0.")


# A library that is interrupted while it loads; C++ would abort on the exception.
INTERRUPTED = """\
import os, signal, time

try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(10)
except BaseException:
    os.abort()
"""


def test_ctrl_c_while_libraries_load_ends_with_130_and_one_line(tmp_path):
    (tmp_path / "torch.py").write_text(INTERRUPTED)
    done = subprocess.run(
        [sys.executable, "-m", "r2mae", "check", "digits_demo"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        # Ignored where the tests run in the background of a shell.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert (done.returncode, done.stderr) == (130, "r2mae: interrupted\n")


def interrupt():
    with exit_on_interrupted_import():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)


def test_ctrl_c_at_other_times_is_an_exception():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupt()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
