"""What the environment says of the launcher."""

import pytest

from r2mae.errors import InputError
from r2mae.schema.launch import check_launch, read_launch, slurm_job
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
        # srun --pty in a job of another name, and salloc's interactive step
        (STEP | {"SLURM_PTY_PORT": "40001", "SLURM_PTY_WIN_COL": "80"}, "none", True),
        (STEP | {"SLURM_STEP_ID": "4294967290"}, "none", True),
        # srun jupyter lab, alone in a job or as one task of a larger one
        (STEP | {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, "none", True),
        (STEP | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, "none", True),
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


@pytest.mark.parametrize(
    ("shape", "nodes", "devices"),
    [
        ({"SLURM_NTASKS": "8", "SLURM_NNODES": "2"}, 2, 4),  # --ntasks alone
        ({"SLURM_NTASKS": "8", "SLURM_TASKS_PER_NODE": "4(x2)"}, 2, 4),
        ({"SLURM_NTASKS": "8", "SLURM_STEP_TASKS_PER_NODE": "8"}, 1, 8),
        # a step of half the job
        (
            {
                "SLURM_NTASKS": "16",
                "SLURM_NTASKS_PER_NODE": "8",
                "SLURM_TASKS_PER_NODE": "8(x2)",
                "SLURM_STEP_NUM_TASKS": "8",
                "SLURM_STEP_TASKS_PER_NODE": "8",
            },
            1,
            8,
        ),
    ],
)
def test_shapes_of_slurm_steps(shape, nodes, devices):
    launch = read_launch({"SLURM_STEP_ID": "0", "SLURM_PROCID": "1"} | shape)
    check_launch(HardwareSection(nodes=nodes, devices=devices), launch)
    with pytest.raises(InputError, match=f"Use --set hardware.nodes={nodes} --set"):
        check_launch(HardwareSection(nodes=3, devices=devices), launch)


def test_nodes_with_different_numbers_of_tasks():
    shape = {"SLURM_STEP_ID": "0", "SLURM_NTASKS": "7", "SLURM_TASKS_PER_NODE": "4,3"}
    with pytest.raises(InputError, match="got 7 tasks. Give sbatch --nodes and --nta"):
        check_launch(HardwareSection(nodes=2, devices=4), read_launch(shape))


def test_the_job_of_slurm_names_its_attempt():
    assert slurm_job({}) is None
    assert slurm_job({"SLURM_JOB_ID": "7"}) == "7.0"
    assert slurm_job({"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "2"}) == "7.2"


def test_several_nodes_need_a_launcher():
    with pytest.raises(
        InputError, match="hardware.nodes must be 1 without a launcher, got 2"
    ):
        check_launch(HardwareSection(nodes=2), read_launch({}))


def test_a_second_try_is_known():
    assert not read_launch(TORCHRUN).restarted
    assert read_launch(TORCHRUN | {"TORCHELASTIC_RESTART_COUNT": "1"}).restarted
    assert read_launch(STEP | {"SLURM_RESTART_COUNT": "1"}).restarted
    one_task = {"SLURM_STEP_ID": "0", "SLURM_NTASKS": "1", "SLURM_RESTART_COUNT": "1"}
    assert read_launch(one_task).restarted
