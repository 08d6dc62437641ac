"""What models over tokens start from: runs, and masked language models of transformers."""

from pathlib import Path
from typing import Any

from torch import nn

from r2mae.data.hub import check_source
from r2mae.errors import InputError, first_line
from r2mae.training.checkpoint import read_manifest
from r2mae.training.start import find_checkpoint, is_awaited, is_run, run_weights

BORDER_IDS = ("cls_token_id", "sep_token_id")


def checkpoint_tokenizer(manifest: dict[str, Any]) -> Path:
    """The folder of a checkpoint's tokenizer, written to the cache."""
    from r2mae.data.text_files import cache_folder
    from r2mae.data.tokenizer import with_files

    if "tokenizer" not in manifest:
        raise InputError(
            "data.tokenizer and model.init_from must be runs on texts, got one of another modality."
        )
    return with_files(manifest["tokenizer"], cache_folder())


def source_config(source: str | None) -> dict[str, Any] | None:
    """Configuration of what a model starts from; None without, or where it is not here (yet)."""
    if source is None or is_awaited(source):
        return None
    if is_run(source):
        manifest = read_manifest(find_checkpoint(source))
        if "transformers" not in manifest:
            raise InputError(f"model.init_from must be a run on texts, got {source!r}.")
        return dict(manifest["transformers"])
    config = _load_config(source)
    known = type(
        config
    )().to_dict()  # released files name entries that transformers has long forgotten
    return {
        key: value
        for key, value in config.to_diff_dict().items()
        if key in known or key in BORDER_IDS
    }


def check_same_tokens(tokenizer: Any, source: str) -> None:
    """Raise InputError where a number is another token for the tokenizer than for what a model starts from."""
    from r2mae.data.tokenizer import load_tokenizer

    if is_awaited(source):
        return
    if is_run(source):
        theirs = load_tokenizer(
            str(checkpoint_tokenizer(read_manifest(find_checkpoint(source))))
        )
    else:
        try:
            theirs = load_tokenizer(source)
        except InputError:  # weights alone
            return
    count = min(len(tokenizer), len(theirs))
    for ours, wanted in zip(
        *(words.convert_ids_to_tokens(range(count)) for words in (tokenizer, theirs)),
        strict=True,
    ):
        if ours != wanted:
            raise InputError(
                f"data.tokenizer must be that of model.init_from {source!r}, got another: {ours!r} stands where "
                f"it has {wanted!r}. Leave data.tokenizer out."
            )


def _load_config(source: str) -> Any:
    from transformers import AutoConfig

    from r2mae.models.text_blocks import RUNNERS

    check_source(source, "model.init_from")
    try:
        config = AutoConfig.from_pretrained(source)
    except Exception as error:
        raise InputError(
            f"model.init_from must be readable, got {source!r}: {first_line(error)}."
        ) from None
    if config.model_type not in RUNNERS:
        raise InputError(
            f"model.init_from must be of model_type {', '.join(RUNNERS)}, got {config.model_type!r} in {source!r}."
        )
    return config


def load_transformer_weights(model: Any, source: str) -> nn.Module:
    """A model with the weights of a run, or of a masked language model of transformers.

    Raises: InputError for weights of another shape, or none.
    """
    if is_awaited(source):
        raise InputError(
            f"model.init_from must exist, got {source!r}. Train it first, or check the path."
        )
    own = model.state_dict()
    masked = f"whole.{model.base.base_model_prefix}."
    if is_run(source):
        weights = run_weights(source)
    else:
        weights = {
            f"whole.{name}": part
            for name, part in _load_whole(source).state_dict().items()
        }
    inner = model._prefix()
    renamed = {}
    for name, part in weights.items():
        for theirs in (masked, "base."):
            if name.startswith(theirs):
                name = inner + name.removeprefix(theirs)
                break
        renamed[name] = part
    kept = {name: part for name, part in renamed.items() if name in own}
    for name, part in kept.items():
        if part.shape != own[name].shape:
            raise InputError(
                f"model.init_from {source!r} must fit the recipe's model: {name} must be {list(own[name].shape)}, "
                f"got {list(part.shape)}."
            )
    absent = [name for name in own if name.startswith(inner) and name not in kept]
    if absent:
        raise InputError(
            f"model.init_from {source!r} must hold a whole encoder, got no {absent[0]}."
        )
    model.load_state_dict(kept, strict=False)
    return model  # type: ignore[no-any-return]


def _load_whole(source: str) -> Any:
    from transformers import AutoModelForMaskedLM

    from r2mae.interop.quiet import quiet_transformers

    _load_config(source)
    try:
        with quiet_transformers():
            model, found = AutoModelForMaskedLM.from_pretrained(
                source, output_loading_info=True
            )
    except Exception as error:
        raise InputError(
            f"model.init_from must be readable, got {source!r}: {first_line(error)}."
        ) from None
    inner = f"{model.base_model_prefix}."
    missing = sorted(
        key
        for key in found["missing_keys"]
        if key.startswith(inner) and ".pooler." not in key
    )
    if missing:
        raise InputError(
            f"model.init_from {source!r} must hold a whole encoder, got no {missing[0]}."
        )
    return model
