"""Initialise models over tokens from runs, or from masked language models of transformers."""

from pathlib import Path
from typing import Any

from torch import nn

from r2mae.data.hub import check_source
from r2mae.errors import InputError, first_line
from r2mae.training.checkpoint import read_manifest
from r2mae.training.start import (
    find_checkpoint,
    is_awaited,
    is_run,
    record_start,
    run_weights,
)

# What sources may lack or have beside an encoder's weights: heads, and buffers that older
# versions of transformers saved elsewhere.
_NOT_TRAINED = (".pooler.", ".contact_head.", ".position_ids", ".inv_freq")
BORDER_IDS = ("cls_token_id", "sep_token_id")  # ids of the configuration to keep


def checkpoint_tokenizer(manifest: dict[str, Any]) -> Path:
    """Write a checkpoint's tokenizer to the cache and give its folder."""
    from r2mae.data.cache import cache_folder
    from r2mae.data.tokenizer import with_files

    if "tokenizer" not in manifest:
        raise InputError(
            "data.tokenizer and model.init_from must be runs with a tokenizer, "
            "got a run without one. Name another run."
        )
    return with_files(manifest["tokenizer"], cache_folder("text"))


def source_config(source: str | None) -> dict[str, Any] | None:
    """The transformers configuration of a model.init_from; None if there is none (yet)."""
    if source is None or is_awaited(source):
        return None
    if is_run(source):
        manifest = read_manifest(find_checkpoint(source))
        if "transformers" not in manifest:
            raise InputError(
                f"model.init_from must be a run of a transformer, got {source!r}. Name another run."
            )
        return dict(manifest["transformers"])
    config = _load_config(source)
    # Configurations on the hub may have entries that transformers no longer reads.
    supported = {*type(config)().to_dict(), *BORDER_IDS}
    return {
        key: value for key, value in config.to_diff_dict().items() if key in supported
    }


def _load_config(source: str) -> Any:
    """The configuration of a folder or hub id. Raises: InputError for other architectures."""
    from transformers import AutoConfig

    from r2mae.models.runners import RUNNERS

    check_source(source, "model.init_from")
    try:
        config = AutoConfig.from_pretrained(source)
    except Exception as error:
        raise InputError(
            f"model.init_from must be readable, got {source!r}: {first_line(error)}."
        ) from None
    if config.model_type not in RUNNERS:
        raise InputError(
            f"model.init_from must be of model_type {', '.join(RUNNERS)}, got {config.model_type!r} "
            f"in {source!r}. Name another model."
        )
    code = (getattr(config, "auto_map", None) or {}).get("AutoModelForMaskedLM")
    if code is not None:
        raise InputError(
            f"model.init_from must be a {config.model_type} as transformers has it, got one with code of its "
            f"own, {code}, in {source!r}. Such code is not run, and the weights may mean something else without "
            "it. Name another model."
        )
    return config


def load_transformer_weights(model: Any, source: str) -> nn.Module:
    """Load the weights of a run, or of a masked language model of transformers, into a model.

    Outside the encoder, weights whose names do not match keep their initial values.

    Raises: InputError for a missing source, weights of another shape, or an incomplete encoder.
    """
    if is_awaited(source):
        raise InputError(
            f"model.init_from must exist, got {source!r}. Train it first, or check the path."
        )
    own, weights = model.state_dict(), _source_weights(model, source)
    kept = {name: weight for name, weight in weights.items() if name in own}
    for name, weight in kept.items():
        if weight.shape != own[name].shape:
            raise InputError(
                f"model.init_from {source!r} must fit the recipe's model: {name} must have shape "
                f"{list(own[name].shape)}, got {list(weight.shape)}. Leave the shape out of model."
            )
    prefix = model._prefix()
    missing = [
        name
        for name in own
        if name.startswith(prefix) and name not in kept and _is_trained(name)
    ]
    if missing:
        raise InputError(
            f"model.init_from {source!r} must hold all weights of an encoder, got no {missing[0]}."
        )
    model.load_state_dict(kept, strict=False)
    record_start(model, source, kept, weights.keys() - kept.keys())
    return model  # type: ignore[no-any-return]


def _is_trained(name: str) -> bool:
    """Whether a weight below an encoder's prefix is one that its layers learned."""
    return not any(part in name for part in _NOT_TRAINED)


def _source_weights(model: Any, source: str) -> dict[str, Any]:
    """Weights of `source`, those of the encoder renamed as in the model."""
    if is_run(source):
        weights = run_weights(source)
    else:
        theirs, new = _load_masked_language_model(source)
        weights = {
            f"whole.{name}": weight
            for name, weight in theirs.state_dict().items()
            if name not in new
        }
    # An encoder is below "whole.bert." of a masked language model, and "base." of a classifier.
    encoders = (f"whole.{model.base.base_model_prefix}.", "base.")
    renamed = {}
    for name, weight in weights.items():
        prefix = next((part for part in encoders if name.startswith(part)), None)
        if prefix is not None:
            name = model._prefix() + name.removeprefix(prefix)
        renamed[name] = weight
    return renamed


def _load_masked_language_model(source: str) -> tuple[Any, frozenset[str]]:
    """The model of a folder or hub id, and its weights that the source lacks.

    Raises: InputError for an incomplete encoder.
    """
    from transformers import AutoModelForMaskedLM

    from r2mae.interop.quiet import quiet_transformers

    _load_config(source)
    try:
        with quiet_transformers():
            model, report = AutoModelForMaskedLM.from_pretrained(
                source, output_loading_info=True
            )
    except Exception as error:
        raise InputError(
            f"model.init_from must be readable, got {source!r}: {first_line(error)}."
        ) from None
    inner = f"{model.base_model_prefix}."
    missing, unexpected = (
        sorted(
            key for key in report[kind] if key.startswith(inner) and _is_trained(key)
        )
        for kind in ("missing_keys", "unexpected_keys")
    )
    if missing:
        raise InputError(
            f"model.init_from {source!r} must hold all weights of an encoder, got no {missing[0]}."
        )
    if unexpected:
        raise InputError(
            f"model.init_from {source!r} must be a {model.config.model_type} as transformers has it, "
            f"got a further weight of the encoder, {unexpected[0]}. Name another model."
        )
    return model, frozenset(report["missing_keys"])
