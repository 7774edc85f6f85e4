"""Settings as plain data, which a run's log keeps and runs are compared by."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from ramet.errors import SpaceError


def describe(value: Any) -> Any:
    """Return a setting as plain data. Different settings have different descriptions.

    Code is described only by its name, because it cannot be compared and is never stored.

    >>> from ramet.domains import Uniform
    >>> describe(Uniform(0.0, 1.0))
    {'type': 'Uniform', 'low': 0.0, 'high': 1.0, 'start': None, 'explore': None}
    """
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(name): describe(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [describe(inner) for inner in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif isinstance(value, msgspec.Struct):
        fields = msgspec.structs.asdict(value)
    else:
        return {"code": _name(value if callable(value) else type(value))}
    return {"type": _name(type(value)), **{name: describe(inner) for name, inner in fields.items()}}


def rebuild(data: Any, kinds: Mapping[str, type]) -> Any:
    """Return the setting that has a description, if it is made of these kinds and of no code.

    >>> from ramet.domains import Uniform
    >>> rebuild(describe(Uniform(0.0, 1.0)), {"Uniform": Uniform})
    Uniform(low=0.0, high=1.0)
    """
    setting = _rebuild(data, kinds)
    if describe(setting) != data:
        raise SpaceError(f"settings must be described in full to be rebuilt, but got {data!r}")
    return setting


def differences(before: Any, now: Any, at: str = "") -> Iterator[str]:
    """Yield one line for each place where two descriptions differ.

    >>> list(differences({"turn_steps": 5, "q": 0.2}, {"turn_steps": 10, "q": 0.2}, "strategy"))
    ['strategy.turn_steps: 5 -> 10']
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for name in before | now:
            inner = f"{at}.{name}" if at else str(name)
            yield from differences(before.get(name), now.get(name), inner)
    elif not _same(before, now):
        yield f"{at}: {before!r} -> {now!r}"


def _same(before: Any, now: Any) -> bool:
    """Say whether two descriptions are equal, of whatever depth. 1, 1.0 and True all differ."""
    match before, now:
        case dict(), dict():
            return before.keys() == now.keys() and all(
                _same(before[name], now[name]) for name in before
            )
        case list(), list():
            return len(before) == len(now) and all(map(_same, before, now))
        case _:
            return type(before) is type(now) and bool(before == now)


def _rebuild(data: Any, kinds: Mapping[str, type]) -> Any:
    if isinstance(data, list):
        return tuple(_rebuild(inner, kinds) for inner in data)
    if not isinstance(data, dict):
        return data
    inner = {name: _rebuild(value, kinds) for name, value in data.items() if name != "type"}
    if "type" not in data:
        return inner
    if not isinstance(data["type"], str) or data["type"] not in kinds:
        raise SpaceError(f"{data['type']} is not one of {sorted(kinds)}")
    try:
        return kinds[data["type"]](**inner)
    except (TypeError, AttributeError, LookupError) as error:
        raise SpaceError(
            f"settings must be those of a {data['type']} to be rebuilt, but {error!r}"
        ) from error


def _name(thing: Any) -> str:
    """Return the name of a class or function, with its module if it is not one of ramet's."""
    name = getattr(thing, "__qualname__", repr(type(thing)))
    module = getattr(thing, "__module__", None) or ""
    return name if module.split(".")[0] == "ramet" else f"{module}:{name}"
