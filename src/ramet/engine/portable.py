"""What a job takes along to a worker: by reference what the worker's own script has, else by value.

Functions and classes of the script are looked up in the worker by name, and are taken as they are
there if their code is the same; a closure, or what was defined since, comes along. All of them see
the worker's own ``__main__``, in which the globals that they use get the values that they have in
the parent: a value from behind a guard or out of ``main()`` is there as well.
"""

import importlib
import io
import sys
from collections.abc import Iterable, Iterator
from types import FunctionType, ModuleType
from typing import Any

import cloudpickle

from ramet.engine.arrival import (
    Inside,
    cached_of,
    chosen,
    finish_function,
    finished,
    function_of,
    kept,
)
from ramet.engine.definitions import (
    DEFINED,
    Cached,
    contents,
    found,
    functions_in,
    globals_in,
    names_in,
    plain_in,
    signature,
)
from ramet.engine.script import NAMES, check_unchanged, this_script

# Parts of what the pickle protocol knows of a thing: what makes it, from what, its state, two kinds
# of items, and what sets the state.
REDUCED = 6


class Porter(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles for another process, which has run the same script, if it is one that can be."""

    def __init__(self, file: Any, *, left: Iterable[str] = ()) -> None:
        super().__init__(file)
        self._main = vars(sys.modules["__main__"])
        # Names of __main__ of which the worker is to have its own.
        self._left = frozenset(left)
        # Names of __main__ whose things are taken along.
        self.taken: set[str] = set()

    def reducer_override(self, thing: Any) -> Any:
        """Return how to pickle what needs care."""
        if isinstance(thing, ModuleType) and type(thing) is not ModuleType:
            return _module(thing)
        if isinstance(thing, DEFINED):
            if isinstance(thing, FunctionType) and thing.__globals__ is self._main:
                return self._either(thing, _function(thing))
            if getattr(thing, "__module__", None) in NAMES:
                return self._either(thing, self._by_value(thing))
        return super().reducer_override(thing)

    def _by_value(self, thing: Any) -> Any:
        if isinstance(thing, Cached):
            return cached_of, (thing.__wrapped__, thing.cache_parameters())
        return super().reducer_override(thing)

    def _either(self, thing: Any, reduced: Any) -> Any:
        """Have the worker take its own, or else make it."""
        name = thing.__qualname__ if found(self._main, thing.__qualname__) is thing else None
        if name is not None:
            self.taken.add(name)
        if name in self._left:
            inside = (self._values(thing), plain_in(thing), None, None)
            return kept, (name, signature(thing)), inside, None, None, finished
        if not isinstance(reduced, tuple):
            return reduced
        make, arguments, state, _, _, finish = (*reduced, None, None, None, None)[:REDUCED]
        inside = (self._values(thing), plain_in(thing), state, finish)
        begun = (name, signature(thing), thing.__qualname__, make, arguments)
        return chosen, begun, inside, None, None, finished

    def _values(self, thing: Any) -> dict[str, Any]:
        """Return the globals that code uses, as they are now."""
        used = {
            name
            for function in functions_in(thing)
            if function.__globals__ is self._main
            for name in globals_in(function.__code__)
        }
        values = {
            name: self._main[name]
            for name in sorted(used - self._left)
            if name in self._main and not name.startswith("__")
        }
        self.taken.update(values)
        return values


def dumped(thing: Any, *, left: Iterable[str] = ()) -> bytes:
    """Return a thing as bytes."""
    file = io.BytesIO()
    Porter(file, left=left).dump(thing)
    return file.getvalue()


def dumped_leaving(thing: Any) -> tuple[bytes, dict[str, str]]:
    """Return a thing as bytes, and the globals that cannot be pickled and were left out, with why.

    A worker that runs the script has its own.
    """
    left: dict[str, str] = {}
    while True:
        file = io.BytesIO()
        porter = Porter(file, left=left)
        try:
            porter.dump(thing)
        except Exception:
            failing = _failing(porter.taken - left.keys(), left) if this_script() else {}
            if not failing:
                raise
            left |= failing
        else:
            check_unchanged(left)
            return file.getvalue(), left


def _failing(names: set[str], left: dict[str, str]) -> dict[str, str]:
    """Return the values that fail by themselves, or if there are none, the code that does."""
    things = {name: found(vars(sys.modules["__main__"]), name) for name in sorted(names)}
    for code in (False, True):
        failing = {
            name: why
            for name, thing in things.items()
            if isinstance(thing, DEFINED) is code and (why := _why_not(thing, left))
        }
        if failing:
            return failing
    return {}


def _why_not(thing: Any, left: Iterable[str] = ()) -> str | None:
    try:
        dumped(thing, left=left)
    except Exception as error:  # noqa: BLE001 - whatever a thing's own code raises
        return f"{type(error).__name__}: {error}"
    return None


def culprit(thing: Any) -> Iterator[tuple[str, Any]]:
    """Yield the way to what cannot be pickled: the name of each part, and the part."""
    seen: set[int] = set()
    while id(thing) not in seen:
        seen.add(id(thing))
        for name, part in _parts(thing):
            if _why_not(part):
                yield name, part
                thing = part
                break


def _parts(thing: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(thing, dict):
        yield from ((f"[{key!r}]", value) for key, value in thing.items())
    elif isinstance(thing, list | tuple):
        yield from ((f"[{index}]", value) for index, value in enumerate(thing))
    elif isinstance(thing, type | ModuleType):
        return
    else:
        for function in functions_in(thing):
            names = function.__code__.co_freevars
            yield from zip(names, map(contents, function.__closure__ or ()), strict=True)
            for name in sorted(globals_in(function.__code__)):
                if name in function.__globals__:
                    yield name, function.__globals__[name]
        yield from ((name, getattr(thing, name, None)) for name in ("__self__", "func", "args"))
        yield from getattr(thing, "__dict__", {}).items()


def _module(module: ModuleType) -> Any:
    """Return how to find a module that has properties, such as torch.backends.cudnn."""
    names = [name for name, one in list(sys.modules.items()) if one is module]
    return (importlib.import_module, (names[0],)) if names else NotImplemented


def _function(function: FunctionType) -> Any:
    """Return how a function is made anew, with the worker's globals."""
    inside = Inside(
        name=function.__name__,
        qualname=function.__qualname__,
        module="__main__" if function.__module__ in NAMES else function.__module__,
        doc=function.__doc__,
        defaults=function.__defaults__,
        keyword_defaults=function.__kwdefaults__,
        annotations=function.__annotations__,
        attributes=function.__dict__,
        closure=tuple(map(contents, function.__closure__ or ())),
        submodules=tuple(_submodules(function)),
    )
    return function_of, (function.__code__,), inside, None, None, finish_function


def _submodules(function: FunctionType) -> Iterator[str]:
    """Yield the modules that a function reaches by way of others."""
    names = names_in(function.__code__)
    space = function.__globals__
    used = [space[name] for name in globals_in(function.__code__) if name in space]
    for value in [*used, *map(contents, function.__closure__ or ())]:
        if isinstance(value, ModuleType):
            for name in list(sys.modules):
                rest = name.removeprefix(f"{value.__name__}.")
                if rest != name and names.issuperset(rest.split(".")):
                    yield name
