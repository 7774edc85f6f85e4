"""Pickle a job for a worker: by reference what the worker's own script defines, else by value.

The worker looks up the script's functions and classes by name. If their code is the same, it keeps
its own, and sets their defaults, cells and attributes to the parent's values. Closures, and
whatever the script defined later, are sent by value. All of them use the worker's own ``__main__``,
in which the globals that they need are set to the parent's values, including those that were
defined behind a guard or in ``main()``.
"""

import importlib
import io
import logging
import sys
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, MappingProxyType, ModuleType
from typing import Any

import cloudpickle

from ramet.engine.processes.arrival import (
    Inside,
    choose,
    find_own,
    finish_definition,
    finish_function,
    make_cached,
    make_code,
    make_function,
    take_own,
)
from ramet.engine.processes.definitions import (
    DEFINED,
    Cached,
    contents,
    functions_in,
    globals_in,
    look_up,
    names_in,
    signature,
    type_name,
)
from ramet.engine.processes.parts import Left, Part, parts_of
from ramet.engine.processes.script import NAMES, check_unchanged, this_script

logger = logging.getLogger("ramet")

# The length of the longest tuple in which pickle describes an object: the function that makes it,
# arguments, state, items, dict items, and the function that sets the state.
REDUCED_LENGTH = 6
NOTHING: Mapping[str, str] = MappingProxyType({})


class Porter(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Pickles for a process that has run the same script, if the script can run again."""

    def __init__(self, file: Any, *, left: Mapping[str, str] = NOTHING) -> None:
        super().__init__(file)
        self._main = vars(sys.modules["__main__"])
        # Names of the globals of __main__ by identity, without modules, which can be imported.
        self._globals = {
            id(value): name
            for name, value in self._main.items()
            if not name.startswith("__") and not isinstance(value, ModuleType)
        }
        # Globals of __main__ and labels of parts that the worker has its own of, with the reason.
        self._left = left
        # Globals of __main__ that are pickled, by name.
        self.taken: dict[str, Any] = {}
        # The parts of these by label.
        self.parts: dict[str, Any] = {}

    def reducer_override(self, thing: Any) -> Any:
        """Return how to pickle an object, where the default does not do."""
        if isinstance(thing, ModuleType) and type(thing) is not ModuleType:
            return _module(thing)
        if isinstance(thing, CodeType):
            # cloudpickle would drop the name of its file, which tracebacks show.
            make, arguments = self.dispatch_table[CodeType](thing)
            return make_code, (make, arguments, thing.co_filename)
        if isinstance(thing, DEFINED):
            if isinstance(thing, FunctionType) and thing.__globals__ is self._main:
                return self._either(thing, _function(thing))
            if getattr(thing, "__module__", None) in NAMES:
                return self._either(thing, self._by_value(thing))
        elif name := self._globals.get(id(thing)):
            self.taken[name] = thing
            if name in self._left:
                return find_own, (name,)
        return super().reducer_override(thing)

    def _name_of(self, thing: Any) -> str | None:
        """Return the name by which a worker finds a function or class, or None."""
        if look_up(self._main, thing.__qualname__) is thing:
            return str(thing.__qualname__)
        return self._globals.get(id(thing))

    def _by_value(self, thing: Any) -> Any:
        if isinstance(thing, Cached):
            return make_cached, (thing.__wrapped__, thing.cache_parameters())
        return super().reducer_override(thing)

    def _either(self, thing: Any, reduced: Any) -> Any:
        """Make the worker take its own definition, or else a new one."""
        name = self._name_of(thing)
        parts: list[Part] = []
        if name is not None:
            self.taken[name] = thing
            parts = self._parts(thing)
        if name in self._left or any(isinstance(part.value, Left) for part in parts):
            inside = (self._values(thing), parts, None, None)
            return take_own, (name, signature(thing)), inside, None, None, finish_definition
        if not isinstance(reduced, tuple):
            return reduced
        make, arguments, state, _, _, finish = (*reduced, None, None, None, None)[:REDUCED_LENGTH]
        inside = (self._values(thing), parts, state, finish)
        begun = (name, signature(thing), thing.__qualname__, make, arguments)
        return choose, begun, inside, None, None, finish_definition

    def _parts(self, thing: Any) -> list[Part]:
        """Return the values that the worker sets on its own definition."""
        parts = list(parts_of(thing))
        self.parts.update((part.label, part.value) for part in parts)
        return [
            part._replace(value=Left(type_name(part.value), self._left[part.label]))
            if part.label in self._left
            else part
            for part in parts
        ]

    def _values(self, thing: Any) -> dict[str, Any]:
        """Return the current values of the globals that code uses."""
        used = {
            name
            for function in functions_in(thing)
            if function.__globals__ is self._main
            for name in globals_in(function.__code__)
        }
        values = {
            name: self._main[name]
            for name in sorted(used - self._left.keys())
            if name in self._main and not name.startswith("__")
        }
        self.taken |= values
        return values


def dump(thing: Any, *, left: Mapping[str, str] = NOTHING) -> bytes:
    """Return an object as bytes."""
    file = io.BytesIO()
    Porter(file, left=left).dump(thing)
    return file.getvalue()


def dump_without_unpicklable(thing: Any) -> tuple[bytes, dict[str, str]]:
    """Return an object as bytes, and the globals that cannot be pickled, with the reasons.

    A worker that runs the script has its own of these.
    """
    left: dict[str, str] = {}
    parts: dict[str, str] = {}
    while True:
        file = io.BytesIO()
        porter = Porter(file, left=left | parts)
        try:
            porter.dump(thing)
        except Exception:
            if not this_script() or not _leave(porter, left, parts):
                raise
        else:
            check_unchanged(left)
            _say_left(parts)
            return file.getvalue(), left


def _leave(porter: Porter, left: dict[str, str], parts: dict[str, str]) -> bool:
    """Add the parts that cannot be pickled; if there are none, values, or else code."""
    values, codes = _by_kind(porter.taken)
    for things, into in ((_by_kind(porter.parts)[0], parts), (values, left), (codes, left)):
        known = left | parts
        failing = {
            name: why
            for name, thing in things.items()
            if name not in known and (why := _why_not(thing, known))
        }
        into.update(failing)
        if failing:
            return True
    return False


def _by_kind(things: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide globals into values, and functions with classes."""
    codes = {name: thing for name, thing in things.items() if isinstance(thing, DEFINED)}
    return {name: thing for name, thing in things.items() if name not in codes}, codes


def _say_left(parts: dict[str, str]) -> None:
    for label, why in parts.items():
        fields = {"part": label, "why": why}
        logger.info(
            "each worker has its own %(part)r, as the script makes it there, because this one "
            "cannot be pickled: %(why)s",
            fields,
            extra=fields,
        )


def _why_not(thing: Any, left: Mapping[str, str] = NOTHING) -> str | None:
    try:
        dump(thing, left=left)
    except Exception as error:  # noqa: BLE001 - whatever an object's own code raises
        return f"{type(error).__name__}: {error}"
    return None


def culprit(thing: Any) -> Iterator[tuple[str, Any]]:
    """Yield the path to what cannot be pickled: each part with its name."""
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
    """Return how to import a module of a class of its own, such as torch.backends.cudnn."""
    names = [name for name, one in list(sys.modules.items()) if one is module]
    return (importlib.import_module, (names[0],)) if names else NotImplemented


def _function(function: FunctionType) -> Any:
    """Return how to make a function with the worker's globals."""
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
    return make_function, (function.__code__,), inside, None, None, finish_function


def _submodules(function: FunctionType) -> Iterator[str]:
    """Yield the submodules that a function reaches through modules that it names."""
    names = names_in(function.__code__)
    space = function.__globals__
    used = [space[name] for name in globals_in(function.__code__) if name in space]
    for value in [*used, *map(contents, function.__closure__ or ())]:
        if isinstance(value, ModuleType):
            for name in list(sys.modules):
                rest = name.removeprefix(f"{value.__name__}.")
                if rest != name and names.issuperset(rest.split(".")):
                    yield name
