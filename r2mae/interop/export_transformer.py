"""Export a model and its tokenizer as a folder that transformers' Auto classes load."""

import copy
from pathlib import Path
from typing import Any

import torch

from r2mae.data.tokenizer import save_tokenizer, strip_before_mask
from r2mae.errors import InputError
from r2mae.interop.export_custom import check_target, scale_and_shift
from r2mae.interop.quiet import quiet_transformers
from r2mae.interop.transformer_config import position_offset


def export_transformer_run(
    loaded: Any, folder: Path, tokenizer: Any, max_length: int | None = None
) -> float:
    """Export a run to an empty folder; gives the largest difference of logits after loading it back.

    max_length: tokens at which the exported tokenizer truncates, special ones included;
        default, the model's positions.

    Raises: InputError for a head or pooling that transformers does not have.
    """
    recipe, model = loaded.recipe, loaded.model.cpu()
    tokenizer = copy.deepcopy(strip_before_mask(tokenizer))
    config = (model.base if recipe.task == "pretrain" else model.backbone.base).config
    if getattr(config, "type_vocab_size", 1) > 1:  # trained on pairs, with token types
        tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
        # transformers 5 saves only what was an argument of its constructor.
        tokenizer.init_kwargs["model_input_names"] = tokenizer.model_input_names
    offset = position_offset(config.model_type, tokenizer)
    tokenizer.model_max_length = max_length or config.max_position_embeddings - offset
    if recipe.task == "pretrain":
        return export_masked_language(model, tokenizer, folder)
    if recipe.tune.hidden is not None:
        raise InputError(
            f"tune.hidden must be null for --to transformers, which has its own heads, got {recipe.tune.hidden}."
        )
    names, target = loaded.manifest["class_names"], recipe.tune.target
    check_target(target)
    if target.problem_type is None:
        task = target.auto_model
        return export_token_classifier(model, tokenizer, folder, names, task)
    pooling, encoder = recipe.model.pooling, recipe.model.encoder
    if encoder != "modernbert" and pooling != "cls":
        raise InputError(
            f"model.pooling must be cls to export {encoder}, as transformers pools it, got {pooling}."
        )
    units, problem = loaded.manifest.get("target"), target.problem_type
    return export_classifier(model, tokenizer, folder, names, units, problem)


def auto_class(loaded: Any) -> str:
    """The Python code that loads an exported run from FOLDER."""
    is_tuned = loaded.recipe.task == "finetune"
    task = loaded.recipe.tune.target.auto_model if is_tuned else "MaskedLM"
    return (
        f"from transformers import AutoModelFor{task}, AutoTokenizer\n\n"
        f'model = AutoModelFor{task}.from_pretrained("FOLDER")\n'
        'tokenizer = AutoTokenizer.from_pretrained("FOLDER")'
    )


def export_masked_language(model: Any, tokenizer: Any, folder: Path) -> float:
    """Write a `MaskedLanguageModel`, load it back, and give the largest difference of logits.

    Raises: InputError when the logits of the loaded model differ.
    """
    from transformers import AutoModelForMaskedLM

    from r2mae.masking.mask import build_mask

    with quiet_transformers():
        model.whole.save_pretrained(folder)
        save_tokenizer(tokenizer, folder)
        theirs = AutoModelForMaskedLM.from_pretrained(folder).eval()
    with torch.no_grad():
        ids, batch = _random_tokens(model)
        # Not all: ESM's token dropout divides by the share of tokens that are not masked.
        is_masked = torch.zeros_like(ids, dtype=torch.bool)
        is_masked[:, ::2] = True
        features, slots = model.features(batch, build_mask(is_masked))
        ours = torch.nn.functional.linear(features, *model.output_layer())
        masked = ids.masked_fill(is_masked, model.vocabulary.mask)
        logits = theirs(input_ids=masked).logits.flatten(0, 1)[slots]
    return _checked(ours, logits)


def export_classifier(
    model: Any,
    tokenizer: Any,
    folder: Path,
    class_names: list[str],
    units: dict[str, float] | None = None,
    problem: str | None = "single_label_classification",
) -> float:
    """Write a `Classifier`, load it back, and give the largest difference of logits.

    units: {"mean", "spread"} of a regression's targets, in which the exported last layer
        predicts.
    problem: `problem_type` of transformers.

    Raises: InputError when the logits of the loaded model differ.
    """
    config = _head_config(model.backbone, class_names, problem)
    scale, shift = scale_and_shift(units)
    task = "SequenceClassification"
    theirs = _write_model(model, tokenizer, folder, config, task, scale, shift)
    with torch.no_grad():
        ids, batch = _random_tokens(model.backbone)
        ours = model.eval()(batch) * scale + shift
        return _checked(ours, theirs(input_ids=ids).logits)


def export_token_classifier(
    model: Any, tokenizer: Any, folder: Path, class_names: list[str], task: str
) -> float:
    """As `export_classifier`, for a `WordClassifier` or `SpanClassifier`.

    task: TokenClassification or QuestionAnswering.
    """
    config = _head_config(model.backbone, class_names, None)
    theirs = _write_model(model, tokenizer, folder, config, task)
    with torch.no_grad():
        ids, batch = _random_tokens(model.backbone)
        outputs = theirs(input_ids=ids)
        if task == "QuestionAnswering":
            batch["is_candidate"] = torch.ones_like(ids, dtype=torch.bool)
            logits = torch.stack([outputs.start_logits, outputs.end_logits], dim=2)
        else:
            batch["words"] = torch.arange(ids.numel())
            logits = outputs.logits.flatten(0, 1)
        return _checked(model.eval()(batch), logits)


def _write_model(
    model: Any,
    tokenizer: Any,
    folder: Path,
    config: Any,
    task: str,
    scale: float = 1.0,
    shift: float = 0.0,
) -> Any:
    """Write a fine-tuned model and its tokenizer; gives the model of transformers, loaded from them."""
    import transformers

    auto = getattr(transformers, f"AutoModelFor{task}")
    with quiet_transformers():
        theirs = auto.from_config(config)
        _fill_head(theirs, model, scale, shift)
        theirs.base_model.load_state_dict(
            model.backbone.base.state_dict(), strict=False
        )
        theirs.save_pretrained(folder)
        save_tokenizer(tokenizer, folder)
        return auto.from_pretrained(folder).eval()


def _head_config(backbone: Any, class_names: list[str], problem: str | None) -> Any:
    """The configuration of the encoder with a head of these classes."""
    config = type(backbone.base.config).from_dict(backbone.base.config.to_dict())
    config.num_labels = len(class_names)
    if config.model_type == "modernbert":
        config.classifier_pooling = backbone.pooling
    config.id2label = dict(enumerate(class_names))
    config.label2id = {name: number for number, name in enumerate(class_names)}
    config.problem_type = problem
    return config


def _fill_head(theirs: Any, model: Any, scale: float, shift: float) -> None:
    """Copy the head's weights to transformers' head, its output times scale, plus shift."""
    state = model.head.state_dict()
    layers = {
        "modernbert": {"1": "head.dense", "3": "head.norm", "4": "classifier"},
        "bert": {"1": "bert.pooler.dense", "4": "classifier"},
        "roberta": {"1": "classifier.dense", "4": "classifier.out_proj"},
        "esm": {"1": "classifier.dense", "4": "classifier.out_proj"},
    }[model.backbone.base.config.model_type]
    if len(model.head) == 2:  # of tokens, without a hidden layer
        layers = {"1": "qa_outputs" if hasattr(theirs, "qa_outputs") else "classifier"}
    names = {
        f"{layer}.{part}": f"{ours}.{part}"
        for ours, layer in layers.items()
        for part in ("weight", "bias")
    }
    weights = {name: state[ours] for name, ours in names.items() if ours in state}
    last = layers[max(layers)]
    weights[f"{last}.weight"] = weights[f"{last}.weight"] * scale
    if f"{last}.bias" in weights:
        weights[f"{last}.bias"] = weights[f"{last}.bias"] * scale + shift
    theirs.load_state_dict(weights, strict=False)


def _random_tokens(model: Any) -> tuple[torch.Tensor, dict[str, Any]]:
    """(tokens (2, 16) without special ones, the batch of them)."""
    import numpy as np

    every, special = np.arange(model.vocabulary.size), model.vocabulary.special
    ordinary = torch.from_numpy(np.setdiff1d(every, np.asarray(special)))
    generator = torch.Generator().manual_seed(0)
    ids = ordinary[torch.randint(len(ordinary), (2, 16), generator=generator)]
    return ids, {
        "input_ids": ids,
        "segment_starts": np.array([0, 16]),
        "segment_lengths": np.array([16, 16]),
    }


def _checked(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest difference of logits. Raises: InputError when it is more than rounding."""
    difference = float((ours - theirs).abs().max())
    # Negated, so that NaN is refused.
    if not difference <= 1e-3 * float(ours.abs().max().clamp(min=1)):
        raise InputError(
            f"the exported model must compute the same logits, got a difference of {difference:.1e}."
        )
    return difference
