"""The parts of functions and classes: their code, and the globals that it uses."""

import dis
import functools
import pickle
from collections.abc import Iterator
from enum import Enum
from types import CellType, CodeType, FunctionType
from typing import Any

# What ``functools.cache`` makes of a function.
Cached = type(functools.cache(lambda: None))
DEFINED = (FunctionType, type, Cached)
# Attributes in which decorators and descriptors keep the function that they wrap.
KEPT_IN = ("__func__", "__wrapped__", "func", "fget", "fset", "fdel")
KEPT = (FunctionType, staticmethod, classmethod, Cached)
# Stands for the value of a closure's variable that has none yet.
UNSET = "ramet: this variable has no value yet"


def look_up(namespace: dict[str, Any], name: str) -> Any:
    """Return what a qualified name means in a namespace, if anything.

    >>> look_up({"int": int}, "int.from_bytes") == int.from_bytes, look_up({}, "f.<locals>.g")
    (True, None)
    """
    first, *rest = name.split(".")
    thing = namespace.get(first)
    for part in rest:
        thing = getattr(thing, part, None)
    return thing


def signature(thing: Any) -> Any:
    """Return what shows whether two definitions of one name are the same.

    It is their code and, for an enum, its members, which cannot be set.
    """
    codes = tuple(function.__code__ for function in functions_in(thing))
    if isinstance(thing, type) and issubclass(thing, Enum):
        return codes, {name: _identity(member.value) for name, member in thing.__members__.items()}
    return codes


def type_name(value: Any) -> str:
    """Return the name of a value's type, with its module."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _identity(value: Any) -> tuple[str, bytes]:
    """Return the type of an enum member's value, and the value pickled if that is possible."""
    kind = type_name(value)
    try:
        return kind, b"" if type(value) is object else pickle.dumps(value)
    except Exception:  # noqa: BLE001 - whatever a value's own code raises
        return kind, b""


def functions_in(thing: Any) -> list[FunctionType]:
    """Return the functions of a class, or those that an object wraps.

    >>> def twice(function):
    ...     return lambda x: function(function(x))
    >>> [function.__name__ for function in functions_in(twice(lambda x: x))]
    ['<lambda>', '<lambda>']
    """
    functions: dict[int, FunctionType] = {}
    _gather(thing, functions)
    return list(functions.values())


def _gather(thing: Any, functions: dict[int, FunctionType]) -> None:
    if id(thing) in functions:
        return
    if isinstance(thing, type):
        parts = [part for part in vars(thing).values() if not isinstance(part, type)]
    else:
        parts = [getattr(thing, name, None) for name in KEPT_IN]
        parts = [part for part in parts if isinstance(part, KEPT)]
    if isinstance(thing, FunctionType):
        functions[id(thing)] = thing
        inside = map(contents, thing.__closure__ or ())
        parts += [part for part in inside if isinstance(part, KEPT)]
    for part in parts:
        if part is not thing:
            _gather(part, functions)


def globals_in(code: CodeType) -> set[str]:
    """Return the names of the globals that code uses.

    >>> sorted(globals_in((lambda x: [print(x.real, y) for y in x]).__code__))
    ['print']
    """
    names = {
        str(line.argval)
        for line in dis.get_instructions(code)
        if line.opname.endswith("_GLOBAL") or line.opname == "LOAD_NAME"
    }
    return names.union(*map(globals_in, _inner(code)))


def names_in(code: CodeType) -> set[str]:
    """Return all names that code uses, including attributes."""
    return set(code.co_names).union(*map(names_in, _inner(code)))


def contents(cell: CellType) -> Any:
    """Return the value of a closure's variable, or UNSET."""
    try:
        return cell.cell_contents
    except ValueError:
        return UNSET


def _inner(code: CodeType) -> Iterator[CodeType]:
    return (constant for constant in code.co_consts if isinstance(constant, CodeType))
