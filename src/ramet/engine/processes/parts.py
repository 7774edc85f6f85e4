"""The values in which definitions with the same code may differ: defaults, cells, attributes."""

import sys
from collections.abc import Iterable, Iterator
from enum import Enum
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any, Literal, NamedTuple, TypeAlias

from ramet.engine.processes.definitions import (
    KEPT,
    KEPT_IN,
    UNSET,
    contents,
    functions_in,
    type_name,
)
from ramet.errors import NotPortable

Kind: TypeAlias = Literal["default", "keyword", "attribute", "cell"]

# Descriptors that Python itself adds to a class with slots or subclasses.
PYTHONS_OWN = (GetSetDescriptorType, MemberDescriptorType)


class Part(NamedTuple):
    """One value that belongs to a function or a class."""

    # Which of ``functions_in`` it belongs to; None is the class itself.
    owner: int | None
    kind: Kind
    # The index of a default from the end, the index of a cell, or the name of any other.
    key: int | str
    # Its name in messages.
    label: str
    value: Any


class Left(NamedTuple):
    """Stands for a value that cannot be pickled: the worker keeps its own, of the same type."""

    type_name: str
    why: str


def parts_of(thing: Any) -> Iterator[Part]:
    """Yield the values of a function or class besides its code.

    >>> def train(session, data=(1, 2), *, gain=1.0): ...
    >>> [part.label for part in parts_of(train)]
    []
    >>> class Task:
    ...     weights = [1, 2]
    ...     def step(self): ...
    >>> [part.label for part in parts_of(Task)]
    ['Task.weights']
    """
    if isinstance(thing, type) and not issubclass(thing, Enum):
        for name, value in vars(thing).items():
            if _may_differ(name, value):
                yield Part(None, "attribute", name, f"{thing.__qualname__}.{name}", value)
    for owner, function in enumerate(functions_in(thing)):
        yield from _of_function(owner, function)


def set_parts(thing: Any, parts: Iterable[Part]) -> None:
    """Set the parts of this process's definition to the parent's values."""
    functions = functions_in(thing)
    owners: dict[int | None, Any] = dict(enumerate(functions))
    owners[None] = thing
    for part in parts:
        owner = owners[part.owner]
        if isinstance(part.value, Left):
            _check_left(part.label, part.value, _get(owner, part))
        else:
            _set(owner, part)


def _may_differ(name: str, value: Any) -> bool:
    """Return whether a class attribute is data, not code or something of Python's own."""
    if name == "_abc_impl" or (name.startswith("_") and name.endswith("_")):
        return False
    return isinstance(value, type) or not (isinstance(value, PYTHONS_OWN) or functions_in(value))


def _of_function(owner: int, function: FunctionType) -> Iterator[Part]:
    name, code = function.__qualname__, function.__code__
    ours = function.__globals__ is vars(sys.modules["__main__"])
    if ours:
        defaults = function.__defaults__ or ()
        named = code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]
        for place, value in enumerate(defaults, -len(defaults)):
            yield Part(owner, "default", place, f"{name}({named[place]}=)", value)
        for key, value in (function.__kwdefaults__ or {}).items():
            yield Part(owner, "keyword", key, f"{name}({key}=)", value)
        for key, value in vars(function).items():
            if key not in KEPT_IN:
                yield Part(owner, "attribute", key, f"{name}.{key}", value)
    cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
    for place, (variable, cell) in enumerate(cells):
        value = contents(cell)
        unset = isinstance(value, str) and value == UNSET
        # Libraries use bare objects as markers, and compare them by identity.
        marker = not ours and type(value) is object
        if not (unset or marker or isinstance(value, KEPT)):
            yield Part(owner, "cell", place, f"{name}'s variable {variable}", value)


def _get(owner: Any, part: Part) -> Any:
    match part.kind:
        case "default":
            defaults = owner.__defaults__ or ()
            return defaults[int(part.key)] if -int(part.key) <= len(defaults) else UNSET
        case "keyword":
            return (owner.__kwdefaults__ or {}).get(part.key)
        case "attribute":
            return vars(owner).get(str(part.key), UNSET)
        case "cell":
            return contents(owner.__closure__[part.key])


def _set(owner: Any, part: Part) -> None:
    match part.kind:
        case "default":
            defaults = [*(owner.__defaults__ or ())]
            defaults[:0] = [None] * (-int(part.key) - len(defaults))
            defaults[int(part.key)] = part.value
            owner.__defaults__ = tuple(defaults)
        case "keyword":
            owner.__kwdefaults__ = {**(owner.__kwdefaults__ or {}), str(part.key): part.value}
        case "attribute" if vars(owner).get(str(part.key), UNSET) is not part.value:
            # A metaclass may forbid it, but the class has this value in the parent.
            put = type.__setattr__ if isinstance(owner, type) else setattr
            put(owner, str(part.key), part.value)
        case "cell":
            owner.__closure__[part.key].cell_contents = part.value


def _check_left(label: str, left: Left, mine: Any) -> None:
    """Refuse a worker's own value if its type differs from the parent's."""
    if type_name(mine) != left.type_name:
        raise NotPortable(
            f"what training uses must be something that can be pickled, or that the script's top "
            f"level defines in each worker, but {label!r} ({left.type_name}) is neither: "
            f"{left.why}. Set it before ramet.run and outside of `if __name__ == '__main__':`, or "
            f"inside the training function"
        )
