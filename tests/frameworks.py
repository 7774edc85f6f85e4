"""Frameworks that not every machine has."""

import importlib
import os

import pytest


def framework(name: str) -> None:
    """Skip what needs a framework that is not there, by its name; in CI it must be there."""
    if os.environ.get("CI"):
        importlib.import_module(name)
    pytest.importorskip(name, reason=f"needs {name}: pip install 'ramet[{name}]'")
