"""`python -m tests.blocked A,B CODE`: runs code as if the modules A and B were not installed."""

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

from packaging.requirements import Requirement

from r2mae.cli.ending import extra_requirements
from tests.conftest import ROOT


class Blocked:
    """A finder that finds neither some modules nor the packages that bring them."""

    def __init__(self, finder, modules, packages):
        self.finder = finder
        self.modules = modules
        self.packages = packages

    def find_spec(self, name, *arguments):
        if name.partition(".")[0] in self.modules:
            return None
        return self.finder.find_spec(name, *arguments)

    def find_distributions(self, *context):
        find = getattr(self.finder, "find_distributions", lambda *_: ())
        for distribution in find(*context):
            if _normal(distribution.metadata["Name"]) not in self.packages:
                yield distribution

    def __getattr__(self, name):
        return getattr(self.finder, name)


def block(modules):
    """Hide modules from every import of this process from now on."""
    brought_by = packages_distributions()
    packages = {_normal(name) for module in modules for name in brought_by[module]}
    sys.meta_path[:] = [Blocked(one, modules, packages) for one in sys.meta_path]


def extra_packages():
    """{extra: packages that it names}, without those of developers."""
    packages = {}
    for package, extra in extra_requirements():
        packages.setdefault(extra, set()).add(package)
    return {name: packages[name] for name in packages if name not in ("all", "dev")}


def modules_outside(extra):
    """Modules of all other extras that installing r2mae with this extra would not bring.

    A modality that needs no further library has no extra.
    """
    installed = set()
    todo = _required_by("r2mae") | extra_packages().get(extra, set())
    while todo:
        package = todo.pop()
        installed.add(package)
        todo |= _required_by(package) - installed
    others = set().union(*extra_packages().values()) - installed
    return {
        module
        for module, names in packages_distributions().items()
        if others & {_normal(name) for name in names}
    }


def _required_by(package):
    try:
        requirements = [Requirement(line) for line in requires(package) or []]
    except PackageNotFoundError:  # of another platform
        return set()
    return {
        _normal(one.name)
        for one in requirements
        if one.marker is None or one.marker.evaluate({"extra": ""})
    }


def _normal(name):
    return name.lower().replace("_", "-")


def run_blocked(modules, code, *, cwd, check=0):
    """Run Python code in a fresh process where modules are blocked."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.blocked", ",".join(sorted(modules)), code],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == check, done.stderr
    return done


if __name__ == "__main__":
    block(set(sys.argv[1].split(",")))
    exec(sys.argv[2])
