"""Pictures of held-out samples, as each run's modality draws them."""

import html

from r2mae.errors import InputError, first_line
from r2mae.page.markup import paragraph
from r2mae.recipe.pictures import draw_pictures, stored_pictures
from r2mae.report.record import RunRecord


def pictures_section(records: list[RunRecord]) -> str:
    """What the modality of each run draws; a line where it cannot.

    Nothing for modalities without pictures.
    """
    parts = []
    for record in records:
        drawn = _draw(record)
        if drawn:
            parts.append(f"<h3>{html.escape(record.name)}</h3>{drawn}")
    return f"<h2>Held-out samples</h2>{''.join(parts)}" if parts else ""


def _draw(record: RunRecord) -> str:
    """HTML of a run, as it is stored; otherwise data, libraries or checkpoints may be missing."""
    if record.recipe.get("task") != "pretrain":
        return ""
    stored = stored_pictures(record.folder, record.manifest)
    if stored is not None:
        return stored
    try:
        return draw_pictures(record.folder)
    except (InputError, ImportError, OSError) as error:
        return paragraph(f"No pictures: {first_line(error)}")
