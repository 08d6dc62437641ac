"""scripts/gpu_check.sh, rehearsed without a GPU."""

import json
import subprocess
import sys

from tests.conftest import ROOT


def test_the_save_is_rehearsed():
    """The last line is JSON, with a report of the part."""
    done = subprocess.run(
        [ROOT / "scripts" / "gpu_check.sh", "--rehearse", "saving"],
        env={"PYTHON": sys.executable, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["rehearsed"]
    assert list(report["parts"]) == ["saving"]
    assert report["parts"]["saving"]["ok"], done.stderr
    assert report["parts"]["saving"]["copy_ms"] > 0
