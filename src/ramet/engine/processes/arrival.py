"""How a worker takes what comes from its parent: its own where it has it, or else made anew."""

import functools
import importlib
import sys
from collections.abc import Callable
from types import CellType, CodeType, FunctionType
from typing import Any, NamedTuple

from ramet.engine.processes.definitions import UNSET, found, signature
from ramet.engine.processes.parts import set_parts
from ramet.errors import NotPortable


class Inside(NamedTuple):
    """All that a function consists of but its code."""

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


# What was made here while a job is read, by its id.
_made: dict[int, Any] = {}


def own(name: str) -> Any:
    """Return what this worker's script has under a qualified name."""
    return found(vars(sys.modules["__main__"]), name)


def chosen(
    name: str | None, sign: Any, qualname: str, make: Callable[..., Any], arguments: Any
) -> Any:
    """Return this worker's own of that name if its code is the same, or else make it."""
    mine = None if name is None else own(name)
    if mine is not None and signature(mine) == sign:
        return mine
    made = make(*arguments)
    if isinstance(made, type):
        # cloudpickle drops the name of the function that a class was defined in.
        made.__qualname__ = qualname
    _made[id(made)] = made
    return made


def kept(name: str, sign: Any) -> Any:
    """Return this worker's own of that name, which must have the same code."""
    mine = own(name)
    if mine is None or signature(mine) != sign:
        raise NotPortable(
            f"what cannot be pickled must be defined at the script's top level, before the first "
            f"ramet.run, and outside of `if __name__ == '__main__':`, but {name!r} is not there in "
            f"a worker, or is another; define it there, or train in this process, workers=0"
        )
    return mine


def finished(thing: Any, state: Any) -> None:
    """Give globals their values, and what was made here all that it has in the parent."""
    values, parts, inside, finish = state
    vars(sys.modules["__main__"]).update(values)
    if id(thing) in _made:
        if finish is not None:
            finish(thing, inside)
        return
    set_parts(thing, parts)


def function_of(code: CodeType) -> FunctionType:
    """Return a function that sees this worker's ``__main__``."""
    cells = tuple(CellType() for _ in code.co_freevars)
    return FunctionType(code, vars(sys.modules["__main__"]), code.co_name, None, cells)


def finish_function(function: FunctionType, inside: Inside) -> None:
    """Give a function the rest of what it consists of."""
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


def cached_of(function: FunctionType, parameters: dict[str, Any]) -> Any:
    """Return a function that remembers what it returned."""
    return functools.lru_cache(**parameters)(function)
