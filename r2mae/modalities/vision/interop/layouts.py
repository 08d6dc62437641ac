"""Parameter names of weight files: prefixes of wrappers, and MAE's official layout."""

from collections import Counter
from collections.abc import Collection

from torch import Tensor

from r2mae.errors import InputError

State = dict[str, Tensor]

# Names of the official MAE's decoder -> ours; decoder_blocks.<n> have the same names.
_DECODER = {
    "decoder_pos_embed": "decoder_positions",
    "decoder_pred.weight": "decoder_predict.weight",
    "decoder_pred.bias": "decoder_predict.bias",
}
_DECODER_STARTS = ("decoder_", "mask_token")
# A file without these parameters has no decoder of MAE, whatever other names it has.
_DECODER_NEEDS = ("decoder_embed.weight", "mask_token")


def rename_file_weights(state: State, encoder_names: Collection[str]) -> State:
    """Weights of a file under our names: `encoder.<timm's name>`, and MAE's decoder.

    The prefix of the encoder's names, such as `module.`, `backbone.` or `encoder.`, is
    removed. Names without it are kept.

    encoder_names: of the recipe's encoder, as timm names them.

    Raises: InputError where several prefixes have an encoder.
    """
    prefix = _encoder_prefix(state, set(encoder_names))
    # A wrapper around encoder and decoder: "model." of "model.encoder.".
    outer = prefix.removesuffix("encoder.")
    decoder: State = {}
    others: State = {}
    for name, tensor in state.items():
        is_inner = name.startswith(prefix)
        start = prefix if is_inner else outer
        bare = name.removeprefix(start)
        if name.startswith(start) and bare.startswith(_DECODER_STARTS):
            decoder[_DECODER.get(bare, bare)] = tensor
        elif is_inner:
            others[f"encoder.{bare}"] = tensor
        else:
            others[name] = tensor
    if all(name in decoder for name in _DECODER_NEEDS):
        return others | decoder
    return others | {f"unused.{name}": tensor for name, tensor in decoder.items()}


def _encoder_prefix(state: State, encoder_names: set[str]) -> str:
    """The prefix, such as "module.", under which most names of the encoder are."""
    counts = Counter(
        prefix
        for name in state
        for prefix in _prefixes(name)
        if name.removeprefix(prefix) in encoder_names
    )
    if not counts:
        return ""
    most = max(counts.values())
    best = sorted(prefix for prefix, count in counts.items() if count == most)
    if len(best) > 1:
        names = " and ".join(repr(prefix) for prefix in best)
        raise InputError(
            f"model.init_from must hold one encoder, got several, under {names}. "
            "Save the weights of one of them."
        )
    return best[0]


def _prefixes(name: str) -> list[str]:
    """Every beginning of a name that ends with a dot, and the empty one."""
    ends = [end + 1 for end, letter in enumerate(name) if letter == "."]
    return [name[:end] for end in (0, *ends)]
