"""Which weights of an encoder are trained on labels: LoRA, or the last blocks alone."""

import warnings
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from r2mae.errors import InputError
from r2mae.models.classifier import Classifier, SpanClassifier, WordClassifier
from r2mae.models.protocol import HasBlocks
from r2mae.schema.target import Target

_OF_TOKENS = {"word": WordClassifier, "span": SpanClassifier}  # heads
_BASE, _A, _B = ".base_layer.", ".lora_A.default.weight", ".lora_B.default.weight"


def build_classifier(encoder: Any, num_classes: int, tune: Any) -> Classifier:
    """A classifier over an encoder, of which the recipe's `tune` section says what is trained.

    Raises: InputError for an encoder that has not the layers to be trained.
    """
    options = tune.model_dump(include={"hidden", "dropout", "freeze"})
    model: Classifier
    if tune.target.head in _OF_TOKENS:
        model = _token_classifier(encoder, num_classes, tune.target, options)
    else:
        is_ordinal = tune.target.head == "ordered"
        model = Classifier(encoder, num_classes, ordinal=is_ordinal, **options)
    if tune.lora is not None:
        add_lora(encoder, **tune.lora.model_dump())
    if tune.last_layers is not None:
        train_last_layers(encoder, tune.last_layers)
    return model.train()


def _token_classifier(
    encoder: Any, num_classes: int, target: Target, options: dict[str, Any]
) -> WordClassifier:
    if not hasattr(encoder, "build_word_head"):
        raise InputError(
            f"tune.target must not be {target} for {_architecture(encoder)}, which has "
            "no words. Leave it out for classes."
        )
    hidden = options.pop("hidden")
    if hidden is not None:
        raise InputError(
            f"tune.hidden must be null with tune.target {target}, got {hidden}. Leave it out."
        )
    return _OF_TOKENS[target.head](encoder, num_classes, **options)


def add_lora(encoder: Any, *, rank: int, alpha: float, dropout: float) -> None:
    """Freeze an encoder, and add LoRA to all linear layers of its blocks, in place.

    A layer's output becomes W x + b + (alpha / rank) B A x, with A (rank, inputs) random
    and B (outputs, rank) zero. Only A and B are trained.

    Raises: InputError for an encoder without blocks that have linear layers, or whose
        layers share weights; for a rank above the inputs or outputs of a layer, which no
        change of its weights has.
    Source: Hu et al. 2021 (LoRA), as implemented in peft.
    """
    if _shares_weights(encoder):
        raise InputError(
            f"tune.lora must be null for {_architecture(encoder)} with layers that share "
            f"weights, which its changes would not, got rank {rank}. Leave it out, or set "
            "tune.last_layers."
        )
    names = _linear_layers(encoder)
    if not names:
        raise InputError(
            f"tune.lora must be null for {_architecture(encoder)}, which must have "
            f"repeated blocks with linear layers, got rank {rank}. Leave it out."
        )
    shapes = {name: encoder.get_submodule(name).weight.shape for name in names}
    narrowest = min(shapes, key=lambda name: min(shapes[name]))
    if rank > (most := min(shapes[narrowest])):
        raise InputError(
            f"tune.lora.rank must be at most {most}, the width of {narrowest}, the narrowest "
            f"layer of {_architecture(encoder)}, got {rank}. Use {most} or less."
        )
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=names
    )
    encoder.requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inject_adapter_in_model(config, encoder)  # type: ignore[arg-type]


def train_last_layers(encoder: Any, count: int) -> None:
    """Freeze all of an encoder but its last blocks, and what follows them.

    Raises: InputError for more blocks than there are, or an encoder without any.
    """
    blocks, name = _blocks(encoder), _architecture(encoder)
    if not blocks:
        raise InputError(
            f"tune.last_layers must be null for {name}, which must have repeated "
            f"blocks, got {count}. Leave it out."
        )
    if count > len(blocks):
        raise InputError(
            f"tune.last_layers must be at most {len(blocks)}, the blocks of {name}, "
            f"got {count}. Use {len(blocks)} or fewer."
        )
    depths = encoder.layers()
    parameters = dict(encoder.named_parameters())
    names = {id(parameter): name for name, parameter in parameters.items()}
    in_first = [depths[names[id(p)]] for p in blocks[len(blocks) - count].parameters()]
    for name, parameter in parameters.items():
        parameter.requires_grad_(depths.get(name, -1) >= min(in_first))


def merge_lora(
    weights: Mapping[str, Tensor], tune: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Weights of a model with LoRA as those of the model without it: W + (alpha / rank) B A.

    tune: the recipe's section; without `lora`, the weights are returned as they are.
    """
    lora = tune.get("lora")
    if lora is None:
        return dict(weights)
    merged = {}
    for name, tensor in weights.items():
        if ".lora_" in name:
            continue
        layer, is_base, kind = name.rpartition(_BASE)
        if is_base and kind == "weight":
            change = weights[layer + _B].double() @ weights[layer + _A].double()
            scale = lora["alpha"] / lora["rank"]
            tensor = (tensor.double() + scale * change).to(tensor.dtype)
        merged[plain_name(name)] = tensor
    return merged


def plain_name(name: str) -> str:
    """A parameter's name without LoRA."""
    return name.replace(_BASE, ".")


def is_of_lora(name: str) -> bool:
    """Whether a parameter is one of LoRA's own."""
    return ".lora_" in name


def _architecture(encoder: Any) -> str:
    """Name of the class; for a wrapped timm model, of timm's."""
    return type(getattr(encoder, "encoder", encoder)).__name__


def _blocks(encoder: Any) -> list[nn.Module]:
    """Repeated blocks, from the input on; none where their parts are not called one by one."""
    blocks = encoder.blocks if isinstance(encoder, HasBlocks) else None
    # nn.TransformerEncoder, for example, reads weights of linear layers without calling them.
    return list(blocks) if isinstance(blocks, nn.Sequential | nn.ModuleList) else []


def _shares_weights(encoder: nn.Module) -> bool:
    """Whether a layer of the blocks computes its weights from other parameters."""
    return any(
        parametrize.is_parametrized(part)
        for block in _blocks(encoder)
        for part in block.modules()
    )


def _linear_layers(encoder: nn.Module) -> list[str]:
    """Names of linear layers in the blocks. Not of subclasses, which may not be called."""
    inside = {id(part) for block in _blocks(encoder) for part in block.modules()}
    return [
        name
        for name, module in encoder.named_modules()
        if id(module) in inside and type(module) is nn.Linear
    ]
