"""Tables and paragraphs of a page, with their text escaped."""

import html
from collections.abc import Iterable


def cell(text: str, css: str = "") -> str:
    """A cell of a table; css: its class."""
    attribute = f' class="{css}"' if css else ""
    return f"<td{attribute}>{html.escape(text)}</td>"


def data_table(header: Iterable[str], lines: Iterable[str]) -> str:
    """A table that scrolls sideways where the page is narrow. lines: cells of a row."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{html.escape(text)}</p>"
