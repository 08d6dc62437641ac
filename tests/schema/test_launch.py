"""What the environment says of the launcher."""

import pytest

from r2mae.errors import InputError
from r2mae.schema.launch import check_launch, read_launch
from r2mae.schema.recipe import HardwareSection

STEP = {
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "3",
    "SLURM_NTASKS_PER_NODE": "2",
    "SLURM_STEP_ID": "0",
}
TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "x",
    "RANK": "2",
    "LOCAL_RANK": "0",
    "WORLD_SIZE": "4",
    "LOCAL_WORLD_SIZE": "2",
}


@pytest.mark.parametrize(
    ("environment", "launcher", "first"),
    [
        ({}, "none", True),
        (STEP, "slurm", False),
        (STEP | {"SLURM_PROCID": "0"}, "slurm", True),
        (STEP | {"SLURM_JOB_NAME": "bash"}, "none", True),
        (STEP | {"SLURM_JOB_NAME": "interactive"}, "none", True),
        ({name: STEP[name] for name in ("SLURM_NTASKS", "SLURM_PROCID")}, "none", True),
        (TORCHRUN, "torchrun", False),
        ({"R2MAE_SUPERVISOR": "1", "LOCAL_RANK": "1"}, "r2mae", False),
        ({"LOCAL_RANK": "1"}, "other", False),
    ],
)
def test_launchers_are_told_apart(environment, launcher, first):
    found = read_launch(environment)
    assert (found.launcher, found.is_first) == (launcher, first)


@pytest.mark.parametrize("environment", [STEP, TORCHRUN])
def test_the_recipe_has_to_agree_with_an_outside_launcher(environment):
    found = read_launch(environment)
    check_launch(HardwareSection(nodes=2, devices=2), found)
    with pytest.raises(
        InputError,
        match=r"must be the 2 x 2 processes of .*, got 1 x 4\. Use --set hardware.nodes=2",
    ):
        check_launch(HardwareSection(nodes=1, devices=4), found)


def test_several_nodes_need_a_launcher():
    with pytest.raises(
        InputError, match="hardware.nodes must be 1 without a launcher, got 2"
    ):
        check_launch(HardwareSection(nodes=2), read_launch({}))


def test_a_second_try_is_known():
    assert not read_launch(TORCHRUN).restarted
    assert read_launch(TORCHRUN | {"TORCHELASTIC_RESTART_COUNT": "1"}).restarted
    assert read_launch(STEP | {"SLURM_RESTART_COUNT": "1"}).restarted
