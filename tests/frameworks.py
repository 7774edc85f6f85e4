"""Frameworks that not every machine has."""

import importlib.util
import os

import pytest


def framework(name: str, extra: str | None = None) -> None:
    """Skip what needs a framework that is not there, by its name; in CI it must be there."""
    if importlib.util.find_spec(name) is None:
        reason = f"needs {name}: pip install 'ramet[{extra or name}]'"
        if os.environ.get("CI"):
            raise ImportError(reason)
        pytest.skip(reason, allow_module_level=True)
