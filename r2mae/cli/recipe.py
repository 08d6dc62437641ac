"""`r2mae recipe list | show | keys`: recipes and studies that come with r2mae, and the keys of a recipe."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from r2mae.cli.arguments import Parser, add_json
from r2mae.json_text import json_text
from r2mae.recipe.shipped import (
    data_provision,
    find_recipe_or_study,
    shipped_recipes,
    shipped_studies,
)

if TYPE_CHECKING:  # pydantic is imported when keys are listed
    from r2mae.schema.keys import Key

_DATA = """data: bundled  comes with an installed package, or is computed
      hub      downloaded from the Hugging Face hub, where data.root is not set
      own      get it (r2mae check RECIPE says where), then --set data.root=PLACE"""


class Listed(NamedTuple):
    """A line of the list. data: who provides it, as `Card.provision`."""

    data: str
    text: str


def add_arguments(parser: ArgumentParser) -> None:
    """`list`, `show NAME` and `keys [MODALITY]`."""
    actions = parser.add_subparsers(
        dest="action", required=True, metavar="ACTION", parser_class=Parser
    )
    text = "print one line per recipe and study, and where its data comes from"
    listing = actions.add_parser("list", help=text, description=text)
    add_json(listing)
    text = "print a recipe or study file"
    show = actions.add_parser("show", help=text, description=text)
    show.add_argument("name", metavar="NAME", help="such as digits_demo")
    add_json(show)
    text = "print every key of a recipe, with its default and what it means"
    keys = actions.add_parser("keys", help=text, description=text)
    modality = "of a recipe; default: the keys that all modalities share"
    keys.add_argument("modality", metavar="MODALITY", nargs="?", help=modality)
    add_json(keys)


def run(arguments: Namespace) -> None:
    """Print names with the data and first line of each, one recipe, or keys."""
    if arguments.action == "keys":
        _print_keys(arguments.modality, arguments.json)
        return
    if arguments.action == "show":
        path = find_recipe_or_study(arguments.name)
        text = path.read_text()
        document = json_text({"path": str(path), "text": text})
        print(document if arguments.json else text, end="")
        return
    recipes, studies = _listed(shipped_recipes()), _listed(shipped_studies())
    if arguments.json:
        groups = {"recipes": recipes, "studies": studies}
        entries = {
            group: {name: entry._asdict() for name, entry in listed.items()}
            for group, listed in groups.items()
        }
        print(json_text(entries))
        return
    width = max(map(len, (*recipes, *studies)), default=0)
    _show("RECIPE", recipes, width)
    print()
    _show("STUDY", studies, width)
    print(f"\n{_DATA}\nRun a study: r2mae study NAME")


def _listed(files: dict[str, Path]) -> dict[str, Listed]:
    return {
        name: Listed(data_provision(path), _header(path.read_text()))
        for name, path in files.items()
    }


def _show(title: str, listed: dict[str, Listed], width: int) -> None:
    """A group under its title, in columns."""
    for name, entry in {title: Listed("DATA", ""), **listed}.items():
        print(f"{name:<{width}}  {entry.data:<7}  {entry.text}".rstrip())


def _header(text: str) -> str:
    """The first comment of a recipe."""
    first = text.partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def _print_keys(modality: str | None, as_json: bool) -> None:
    """The keys of a pretraining recipe, then those that fine-tuning adds or has otherwise.

    Raises: InputError for a modality that does not exist.
    """
    from r2mae.modalities import find_wing
    from r2mae.schema.finetune import FinetuneRecipe
    from r2mae.schema.keys import list_keys
    from r2mae.schema.pretrain import PretrainRecipe
    from r2mae.schema.recipe import DataSection, ModelSection

    pretrain: type[PretrainRecipe[Any, Any]] = PretrainRecipe[DataSection, ModelSection]
    finetune: type[FinetuneRecipe[Any, Any]] = FinetuneRecipe[DataSection, ModelSection]
    if modality is not None:
        wing = find_wing(modality)
        pretrain, finetune = wing.pretrain_recipe, wing.finetune_recipe
    keys = {"pretrain": [*list_keys(pretrain)], "finetune": [*list_keys(finetune)]}
    if as_json:
        entries = {
            task: [key._asdict() for key in of_task] for task, of_task in keys.items()
        }
        print(json_text(entries))
        return
    shared = set(keys["pretrain"])
    _print_table("MEANING (task: pretrain)", keys["pretrain"])
    print()
    own = [key for key in keys["finetune"] if key not in shared]
    _print_table("MEANING (task: finetune, where it differs)", own)


def _print_table(title: str, keys: list["Key"]) -> None:
    rows = [("KEY", "DEFAULT", title), *keys]
    name_width, default_width = (max(len(row[n]) for row in rows) for n in (0, 1))
    for name, default, meaning in rows:
        print(f"{name:<{name_width}}  {default:<{default_width}}  {meaning}".rstrip())
