"""Parts of self-contained HTML pages: the document, tables, SVG figures, a slider."""
