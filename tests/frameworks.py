"""Frameworks and programs that not every machine has."""

import importlib.util
import os
import shutil

import pytest


def framework(name: str, extra: str | None = None) -> None:
    """Skip what needs a framework that is not there, by its name; in CI it must be there."""
    _installed(name, f"'ramet[{extra or name}]'")


def package(name: str) -> None:
    """Skip what needs a package that only tests use, by its name; in CI it must be there."""
    _installed(name, name)


def _installed(name: str, what: str) -> None:
    if importlib.util.find_spec(name) is None:
        reason = f"needs {name}: pip install {what}"
        if os.environ.get("CI"):
            raise ImportError(reason)
        pytest.skip(reason, allow_module_level=True)


def program(name: str) -> str:
    """Return where a program is, or skip what needs it, by its name; in CI it must be there."""
    if found := shutil.which(name):
        return found
    reason = f"needs {name}: apt-get install {name}"
    if os.environ.get("CI"):
        raise FileNotFoundError(reason)
    pytest.skip(reason)
