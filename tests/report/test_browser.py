"""The page in headless Chromium: no console errors, a slider that moves, no overflow."""

import base64
import hashlib
import re
import shutil
import subprocess

import pytest

from r2mae.page.document import document
from r2mae.page.slider import SCRIPT, ratio_slider
from r2mae.report.page import write_report
from r2mae.report.record import read_records
from tests.report.test_report import write_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
# Moves the slider to its end; writes what is seen to the document's title.
PROBE = """
const input = document.querySelector(".slider input");
if (input) { input.value = input.max; input.dispatchEvent(new Event("input")); }
const seen = [...document.querySelectorAll(".frame:not([hidden])")].map(f => f.dataset.label);
const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
document.title = [seen, root.scrollWidth <= innerWidth, innerWidth, dark].join("|");
"""


def look(page, folder, width, *, dark=False):
    """(title parts after the probe, console lines)."""
    path = folder / "probed.html"
    digest = base64.b64encode(hashlib.sha256(PROBE.encode()).digest()).decode()
    page = page.replace("script-src ", f"script-src 'sha256-{digest}' ")
    path.write_text(f"{page}<script>{PROBE}</script>")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu"]
    command += ["--disable-dev-shm-usage", "--enable-logging=stderr", "--dump-dom"]
    command += [f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900"]
    command += [f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    done = subprocess.run(
        [*command, path.as_uri()], capture_output=True, text=True, timeout=180
    )
    title = re.search(r"<title>(.*?)</title>", done.stdout)[1]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return title.split("|"), console


@pytest.mark.parametrize(("width", "dark"), [(500, True), (1600, False)])
def test_the_page_fits_and_has_no_console_errors(scratch, width, dark):
    runs = [write_run(scratch / f"run{seed}", seed=seed) for seed in range(3)]
    write_report(read_records(runs), scratch / "page.html", with_pictures=False)
    page = (scratch / "page.html").read_text()
    (_, fits, inner, is_dark), console = look(page, scratch, width, dark=dark)
    assert not console
    assert fits == "true"
    assert inner == str(width)
    assert is_dark == str(dark).lower()


def test_the_page_fits_400_pixels(scratch):
    """In a frame, as Chromium's own window is 500 pixels wide at least."""
    run = write_run(scratch / "run")
    write_report(read_records([run]), scratch / "page.html", with_pictures=False)
    page = (scratch / "page.html").read_text()
    (scratch / "inner.html").write_text(page)
    frame = """<iframe src="inner.html" width="400" height="900"></iframe><script>
    document.querySelector("iframe").onload = e => {
      const root = e.target.contentDocument.documentElement;
      document.title = [root.scrollWidth, root.clientWidth].join("|");
    };</script>"""
    path = scratch / "outer.html"
    path.write_text(f"<!doctype html><title>x</title>{frame}")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += ["--allow-file-access-from-files", "--virtual-time-budget=5000"]
    command += [f"--user-data-dir={scratch / 'profile'}", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    content, client = re.search(r"<title>(\d+)\|(\d+)</title>", done.stdout).groups()
    assert int(content) <= int(client) <= 400


def test_code_in_the_body_does_not_run(scratch):
    """Stored pictures are HTML of a run folder, which another person may have written."""
    add = "const p = document.createElement('p'); p.className = 'frame'; p.dataset.label = 'ran'; "
    add += "document.body.append(p)"
    body = f'<script>{add}</script><img src="data:," onerror="{add}">'
    (shown, *_), console = look(document("Planted", body, SCRIPT), scratch, 800)
    assert shown == ""
    assert any("Content Security Policy" in line for line in console)


def test_the_slider_shows_the_frame_of_its_ratio(scratch):
    page = document("Slider", ratio_slider({0.1: "a", 0.5: "b", 0.9: "c"}), SCRIPT)
    assert re.findall(r'data-label="([\d.]+)">', page) == ["0.5"]
    (shown, *_), console = look(page, scratch, 800)
    assert shown == "0.9"
    assert not console
