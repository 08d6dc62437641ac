"""Recipe -> objects: the only place that assembles."""

from r2mae.recipe.export import export_run
from r2mae.recipe.modality import (
    build_model,
    build_outline,
    count_training_samples,
    is_data_here,
    open_paths,
    open_split,
    open_training_data,
    read_tokens,
)
from r2mae.recipe.plan import Plan, make_plan
from r2mae.recipe.replay import replay_step
from r2mae.recipe.run import LoadedRun, load_run
from r2mae.recipe.tasks import check_table, choose_labelled, find_classes, open_labelled
from r2mae.recipe.trainer import choose_accelerator, is_first_process
from r2mae.recipe.training import Training, build_training
from r2mae.training.run_folder import is_here

__all__ = [
    "LoadedRun",
    "Plan",
    "Training",
    "build_model",
    "build_outline",
    "build_training",
    "check_table",
    "choose_accelerator",
    "choose_labelled",
    "count_training_samples",
    "export_run",
    "find_classes",
    "is_data_here",
    "is_first_process",
    "is_here",
    "load_run",
    "make_plan",
    "open_labelled",
    "open_paths",
    "open_split",
    "open_training_data",
    "read_tokens",
    "replay_step",
]
