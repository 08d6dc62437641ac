"""A recipe's transformer as transformers configures and builds it."""

from collections.abc import Mapping
from typing import Any

from r2mae.data.tokenizer import ends
from r2mae.errors import InputError, first_line
from r2mae.interop.transformer_source import BORDER_IDS, source_config
from r2mae.schema.tokens import TransformerEncoder

# A recipe's key -> the keys of transformers' configurations.
SHAPE = {
    "width": ("hidden_size",),
    "depth": ("num_hidden_layers",),
    "heads": ("num_attention_heads",),
    "hidden": ("intermediate_size",),
}
_DROPOUT = {
    "modernbert": ("embedding_dropout", "mlp_dropout", "attention_dropout"),
    "bert": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
    "roberta": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
    "esm": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
}
# Entries without a use: models here are encoders with heads of their own.
_UNUSED = ("is_decoder", "add_cross_attention", "classifier_activation")


def transformer_config(
    section: TransformerEncoder,
    tokenizer: Any,
    length: int,
    *,
    vocab_size: int | None = None,
) -> Any:
    """transformers' configuration of a recipe's model section.

    length: tokens of a row, borders included.
    vocab_size: of the embedding; by default the tokenizer's.

    Raises: InputError for entries that transformers does not know, a vocabulary or length beyond the model's.
    """
    from transformers import AutoConfig

    source = source_config(section.init_from)
    expected = "modernbert" if source is None else str(source["model_type"])
    encoder = section.encoder or expected
    defaults = AutoConfig.for_model(encoder).to_dict()
    _check_entries(section, encoder, defaults)
    offset = position_offset(encoder, tokenizer)
    entries = _token_ids(tokenizer) | {"vocab_size": vocab_size or len(tokenizer)}
    if encoder == "esm":  # its embeddings count [MASK]s
        entries["mask_token_id"] = tokenizer.mask_token_id
    if source is None and length + offset > defaults["max_position_embeddings"]:
        entries["max_position_embeddings"] = length + offset
    entries |= section.config | _shape_entries(section, encoder)
    if source is not None:
        entries = _merge_source(section, encoder, source, entries)
    try:
        config = AutoConfig.for_model(encoder, **entries)
    except Exception as error:
        raise _unbuildable(error) from None
    _check_config(config, tokenizer, length + offset, offset)
    return config


def position_offset(encoder: str, tokenizer: Any) -> int:
    """The first position number that an architecture gives to a token.

    RoBERTa and ESM start after their padding id.
    """
    starts_after = encoder in ("roberta", "esm")
    return int(tokenizer.pad_token_id) + 1 if starts_after else 0


def build_transformer(config: Any) -> Any:
    """A masked language model of a configuration. Raises: InputError where transformers cannot build it."""
    from transformers import AutoModelForMaskedLM

    try:
        model = AutoModelForMaskedLM.from_config(config)
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        AssertionError,
        RuntimeError,
    ) as error:
        raise _unbuildable(error) from None
    if config.model_type == "esm":
        model.esm.contact_head = None  # of proteins; no loss trains it
    return model


def config_facts(config: Any) -> dict[str, Any]:
    """A configuration as a checkpoint keeps it."""
    facts: dict[str, Any] = config.to_diff_dict()
    return facts


def section_of_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of a model section that rebuild the configuration kept in a checkpoint."""
    config = {
        key: value for key, value in facts.items() if key != "transformers_version"
    }
    empty: dict[str, Any] = dict.fromkeys([*SHAPE, "dropout"])
    return empty | {"encoder": config.pop("model_type"), "config": config}


def _token_ids(tokenizer: Any) -> dict[str, Any]:
    first, last = ends(tokenizer)
    return {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": first,
        "eos_token_id": last,
        "cls_token_id": first,
        "sep_token_id": last,
    }


def _shape_entries(section: TransformerEncoder, encoder: str) -> dict[str, Any]:
    """Entries of the keys that the recipe sets: width, depth, heads, hidden, dropout."""
    entries: dict[str, Any] = {}
    for ours, theirs in SHAPE.items():
        if getattr(section, ours) is not None:
            entries |= dict.fromkeys(theirs, getattr(section, ours))
    if section.dropout is not None:
        entries |= dict.fromkeys(_DROPOUT[encoder], section.dropout)
    return entries


def _check_entries(
    section: TransformerEncoder, encoder: str, defaults: dict[str, Any]
) -> None:
    for key, value in section.config.items():
        if key not in defaults and key not in BORDER_IDS:
            raise InputError(
                f"model.config must hold entries of transformers' {encoder}, got {key!r}."
            )
        if key in _UNUSED and value != defaults.get(key):
            raise InputError(
                f"model.config.{key} must be left out, since it has no use here, got a value."
            )


def _check_config(config: Any, tokenizer: Any, positions: int, offset: int) -> None:
    """Raise InputError where the shape, the positions or the vocabulary do not fit."""
    unit = config.num_attention_heads
    positions_of = getattr(config, "position_embedding_type", None)
    if config.model_type == "modernbert" or positions_of == "rotary":
        unit *= 2  # rotary positions turn pairs
    if config.hidden_size % unit:
        raise InputError(
            f"model.width must be divisible by {unit}, got {config.hidden_size}. Heads share it."
        )
    most = config.max_position_embeddings
    if positions > most:
        raise InputError(
            f"data.length must be {most - offset} at most, the model's positions, got {positions - offset}. Shorten it."
        )
    for key, number in config.to_dict().items():
        if (
            key.endswith("_token_id")
            and isinstance(number, int)
            and not -1 <= number < config.vocab_size
        ):
            raise InputError(
                f"model.config.{key} must be below the vocabulary's {config.vocab_size:,}, got {number}."
            )
    if len(tokenizer) > config.vocab_size:
        raise InputError(
            f"data.tokenizer must have {config.vocab_size:,} tokens at most, the model's embedding, "
            f"got {len(tokenizer):,}. Use the model's own tokenizer."
        )


def _merge_source(
    section: TransformerEncoder,
    encoder: str,
    source: dict[str, Any],
    entries: dict[str, Any],
) -> dict[str, Any]:
    """The source's configuration, with what a recipe may change: dropout and its own entries, not the shape."""
    if source["model_type"] != encoder:
        raise InputError(
            f"model.encoder must be {source['model_type']}, as init_from is, got {encoder}."
        )
    for ours, theirs in SHAPE.items():
        value = getattr(section, ours)
        expected = source.get(theirs[0], entries.get(theirs[0]))
        if value is not None and expected is not None and value != expected:
            raise InputError(
                f"model.{ours} must be {expected}, as init_from has, got {value}. Leave it out."
            )
    shape = {name for names in SHAPE.values() for name in names} | {
        "vocab_size",
        "max_position_embeddings",
    }
    for key, value in section.config.items():
        if key in shape and source.get(key) != value:
            raise InputError(
                f"model.config.{key} must be left out with init_from, whose shape is taken, got a value."
            )
    kept = {
        key: value
        for key, value in source.items()
        if key not in ("model_type", "transformers_version")
    }
    return kept | {key: value for key, value in entries.items() if key not in shape}


def _unbuildable(error: Exception) -> InputError:
    return InputError(
        f"model must be what transformers can build, got: {first_line(error)}"
    )
