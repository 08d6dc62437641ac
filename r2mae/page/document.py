"""A self-contained HTML document: no network, light and dark, 400 to 1,600 pixels."""

import base64
import hashlib
import html

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --good: #56d364; --bad: #ff8a80; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 76rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; } h3 { font-size: 1rem; }
h1, h2, h3, p { overflow-wrap: anywhere; }
.scroll { overflow-x: auto; } svg, img { max-width: 100%; height: auto; }
pre { overflow-x: auto; font-size: .85rem; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem 2rem; margin: 1rem 0; }
.figures > * { min-width: 0; max-width: 100%; }
figure { margin: 0; max-width: 100%; } figcaption { font-weight: 600; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.wins { color: var(--good); } .loses { color: var(--bad); } small { opacity: .75; }
.slider label { display: flex; flex-wrap: wrap; gap: .75rem; align-items: center; }
.slider input { flex: 0 1 20rem; min-width: 8rem; }
"""


def document(title: str, body: str, script: str = "") -> str:
    """The page. title: plain text; body: HTML; script: JavaScript, the only one that may run."""
    heading = html.escape(title)
    code = f"<script>{script}</script>" if script else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(script)}">'
        f"<title>{heading}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{heading}</h1>{body}{code}</body></html>\n"
    )


def _policy(script: str) -> str:
    """No network, and no code but the page's own: bodies may hold HTML from run folders."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    sources = ("default-src 'none'", "img-src data:", "style-src 'unsafe-inline'")
    return "; ".join([*sources, f"script-src 'sha256-{digest}'"])
