"""r2mae: distributed masked pretraining with random mask ratios (R²MAE).

run = r2mae.pretrain("digits_demo", schedule={"steps": 500})  # or r2mae.load("runs/digits_demo")
features = run.embed(images)  # (N, D) float32
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from r2mae.errors import InputError as InputError
    from r2mae.loaded_run import LoadedRun as LoadedRun
    from r2mae.modalities import (
        register_with_transformers as register_with_transformers,
    )
    from r2mae.recipe.pretrain import pretrain as pretrain
    from r2mae.recipe.run import load_run as load
    from r2mae.training.callback import Callback as Callback

__version__ = "0.1.0"
__all__ = [
    "load",
    "pretrain",
    "register_with_transformers",
    "Callback",
    "LoadedRun",
    "InputError",
]

# Imported on first use, so that `import r2mae` and `r2mae --help` import no torch.
_PLACES = {
    "load": ("r2mae.recipe.run", "load_run"),
    "pretrain": ("r2mae.recipe.pretrain", "pretrain"),
    "register_with_transformers": ("r2mae.modalities", "register_with_transformers"),
    "Callback": ("r2mae.training.callback", "Callback"),
    "LoadedRun": ("r2mae.loaded_run", "LoadedRun"),
    "InputError": ("r2mae.errors", "InputError"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'r2mae' has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
