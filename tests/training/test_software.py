"""Versions and commit of the software that a run is made with."""

import subprocess

import numpy as np

from r2mae.training import software


def test_versions_are_those_of_installed_packages(monkeypatch):
    monkeypatch.setattr(software, "_PACKAGES", ("numpy", "a-package-that-is-absent"))
    assert software.versions() == {"numpy": np.__version__}


def test_commit_is_that_of_the_checkout_and_marks_edits(tmp_path, monkeypatch):
    def git(*arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        command = ("git", "-C", str(tmp_path), *identity, *arguments)
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    source = tmp_path / "software.py"
    monkeypatch.setattr(software, "__file__", str(source))
    assert software.commit() is None
    git("init", "--quiet")
    source.write_text("one")
    git("add", "software.py")
    git("commit", "--quiet", "--message", "One")
    assert software.commit() == git("rev-parse", "HEAD")
    source.write_text("two")
    assert software.commit() == git("rev-parse", "HEAD") + "+"
