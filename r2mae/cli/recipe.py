"""`r2mae recipe list | show`: the recipes that come with r2mae."""

from argparse import ArgumentParser, Namespace

from r2mae.cli.arguments import Parser, add_json
from r2mae.json_text import json_text
from r2mae.recipe.shipped import find_recipe, shipped_recipes


def add_arguments(parser: ArgumentParser) -> None:
    """`list` and `show NAME`."""
    actions = parser.add_subparsers(
        dest="action", required=True, metavar="ACTION", parser_class=Parser
    )
    listing = actions.add_parser(
        "list",
        help="print one line per recipe",
        description="print one line per recipe",
    )
    add_json(listing)
    text = "print a recipe file"
    show = actions.add_parser("show", help=text, description=text)
    show.add_argument("name", metavar="NAME", help="such as digits_demo")
    add_json(show)


def run(arguments: Namespace) -> None:
    """Print names with the first line of each, or one recipe."""
    if arguments.action == "show":
        path = find_recipe(arguments.name)
        text = path.read_text()
        document = json_text({"path": str(path), "text": text})
        print(document if arguments.json else text, end="")
        return
    recipes = shipped_recipes()
    headers = {name: _header(path.read_text()) for name, path in recipes.items()}
    if arguments.json:
        print(json_text(headers))
        return
    width = max(map(len, headers), default=0)
    for name, header in headers.items():
        print(f"{name:<{width}}  {header}".rstrip())


def _header(text: str) -> str:
    """The first comment of a recipe."""
    first = text.partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
