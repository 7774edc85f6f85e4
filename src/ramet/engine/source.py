"""The code that a run is trained with, as a fingerprint that tells whether it has changed."""

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator
from functools import partial
from types import FunctionType, ModuleType
from typing import Any

from ramet.digest import digest


def fingerprint(train: object) -> str | None:
    """Return a digest of the code that trains; None if its source cannot be read.

    It covers the training function, or the task's class, and the functions and classes of its
    module that it uses. Comments and layout are left out.

    Args:
        train: A training function or a task.
    """
    roots = [part for part in _parts(train) if _module_name(part) != "ramet"]
    sources: dict[str, str] = {}
    try:
        for root in roots:
            _collect(root, sources)
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    text = "".join(f"{name}: {sources[name]}\n" for name in sorted(sources))
    return digest([text.encode(errors="replace")]) if sources else None


def _parts(train: object) -> Iterator[Any]:
    """Yield the functions and classes that a training function or task is made of."""
    if isinstance(train, partial):
        yield from _parts(train.func)
    elif isinstance(train, FunctionType | type):
        yield train
    elif inspect.ismethod(train):
        yield train.__func__
        yield type(train.__self__)
    else:
        yield type(train)
        # What a ramet.jax.Task or a ramet.torch.Task is made of.
        functions = getattr(train, "functions", None)
        if functions is not None:
            yield type(functions)


def _collect(part: Any, sources: dict[str, str]) -> None:
    """Add the source of a function or class, and of those of its module that it uses."""
    if part.__qualname__ in sources:
        return
    tree = ast.parse(textwrap.dedent(inspect.getsource(part)))
    sources[part.__qualname__] = ast.dump(tree)
    module = sys.modules.get(part.__module__)
    for name in sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}):
        used = _own(module, name)
        if used is not None:
            _collect(used, sources)


def _own(module: ModuleType | None, name: str) -> Any:
    """Return the function or class that a module defines under a name, if it does."""
    found = getattr(module, name, None)
    defines = isinstance(found, FunctionType | type) and found.__module__ == module.__name__  # type: ignore[union-attr]  # it has what was found
    return found if defines else None


def _module_name(part: Any) -> str:
    """Return the top-level name of the module that defines something."""
    return str(part.__module__).partition(".")[0]
