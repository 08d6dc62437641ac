"""`r2mae export`: a run's model as a folder that timm or transformers reads."""

import argparse
import json
from pathlib import Path

from r2mae.interop.folder import check_free

_LOADERS = {
    "timm": 'timm.create_model("local-dir:{}", pretrained=True).eval()',
    "transformers": (
        'ViTMAEForPreTraining.from_pretrained("{0}"), ViTModel.from_pretrained("{0}", add_pooling_layer=False)'
    ),
}


def run(arguments: argparse.Namespace) -> None:
    """Write the folder; say how to load it."""
    folder = Path(arguments.folder)
    check_free(folder)  # before anything is loaded
    from r2mae.recipe.export import export_run
    from r2mae.recipe.run import load_run

    loaded = load_run(arguments.run, arguments.checkpoint)
    loader = _LOADERS[arguments.to]
    if loaded.recipe.modality in ("language", "dna"):
        kind = "MaskedLM" if loaded.num_classes is None else "SequenceClassification"
        loader = f'AutoModelFor{kind}.from_pretrained("{{0}}"), AutoTokenizer.from_pretrained("{{0}}")'
    difference = export_run(loaded, arguments.to, folder)
    result = {
        "output": str(folder),
        "to": arguments.to,
        "checkpoint_step": loaded.manifest["step"],
        "largest_difference": difference,
        "load_with": loader.format(folder),
    }
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"{folder}: step {result['checkpoint_step']}; outputs differ by {difference:.1e} at most")
    print(f"  {result['load_with']}")
