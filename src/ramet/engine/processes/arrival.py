"""How a worker receives functions, classes and values from its parent.

It uses its own definition where its script has the same code, and otherwise makes a new one.
"""

import functools
import importlib
import sys
from collections.abc import Callable
from types import CellType, CodeType, FunctionType
from typing import Any, NamedTuple

from ramet.engine.processes.definitions import UNSET, look_up, signature
from ramet.engine.processes.parts import set_parts
from ramet.errors import NotPortable


class Inside(NamedTuple):
    """Everything that a function consists of except its code."""

    name: str
    qualname: str
    module: str
    doc: str | None
    defaults: tuple[Any, ...] | None
    keyword_defaults: dict[str, Any] | None
    annotations: dict[str, Any]
    attributes: dict[str, Any]
    closure: tuple[Any, ...]
    # Modules that it reaches through others, and that must have been imported.
    submodules: tuple[str, ...]


# What this process made while it read a job, by id.
_made: dict[int, Any] = {}


def find_own(name: str) -> Any:
    """Return what a qualified name means in this worker's script, or None."""
    return look_up(vars(sys.modules["__main__"]), name)


def choose(
    name: str | None, sign: Any, qualname: str, make: Callable[..., Any], arguments: Any
) -> Any:
    """Return this worker's definition of a name if it has the same code; otherwise make it."""
    mine = None if name is None else find_own(name)
    if mine is not None and signature(mine) == sign:
        return mine
    made = make(*arguments)
    if isinstance(made, type):
        # cloudpickle drops the name of the function that a class was defined in.
        made.__qualname__ = qualname
    _made[id(made)] = made
    return made


def take_own(name: str, sign: Any) -> Any:
    """Return this worker's definition of a name; refuse one with other code."""
    mine = find_own(name)
    if mine is None or signature(mine) != sign:
        raise NotPortable(
            f"what cannot be pickled must be defined at the script's top level, before the first "
            f"ramet.run, and outside of `if __name__ == '__main__':`, but a worker does not have "
            f"{name!r}, or has another one; define it there, or train in this process, workers=0"
        )
    return mine


def finish_definition(thing: Any, state: Any) -> None:
    """Set the globals that a definition uses, and complete the definition as in the parent."""
    values, parts, inside, finish = state
    vars(sys.modules["__main__"]).update(values)
    if id(thing) in _made:
        if finish is not None:
            finish(thing, inside)
        return
    set_parts(thing, parts)


def make_code(make: Callable[..., CodeType], arguments: Any, file: str) -> CodeType:
    """Return code that is from a file, as in the parent."""
    return make(*arguments).replace(co_filename=file)


def make_function(code: CodeType) -> FunctionType:
    """Return a function with this worker's ``__main__`` as its globals."""
    cells = tuple(CellType() for _ in code.co_freevars)
    return FunctionType(code, vars(sys.modules["__main__"]), code.co_name, None, cells)


def finish_function(function: FunctionType, inside: Inside) -> None:
    """Set everything but the code of a function."""
    for name in inside.submodules:
        importlib.import_module(name)
    function.__name__, function.__qualname__ = inside.name, inside.qualname
    function.__module__, function.__doc__ = inside.module, inside.doc
    function.__defaults__, function.__kwdefaults__ = inside.defaults, inside.keyword_defaults
    function.__annotations__ = inside.annotations
    function.__dict__.update(inside.attributes)
    for cell, value in zip(function.__closure__ or (), inside.closure, strict=True):
        if not (isinstance(value, str) and value == UNSET):
            cell.cell_contents = value


def make_cached(function: FunctionType, parameters: dict[str, Any]) -> Any:
    """Return a function that remembers what it returned."""
    return functools.lru_cache(**parameters)(function)
