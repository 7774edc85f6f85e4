"""Places where hyperparameters are set: entries of param groups, attributes, functions."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch.optim import Optimizer

from ramet.domains import Value
from ramet.errors import StateError

ENTRY = re.compile(r"(?P<key>\w+)(\[(?P<nth>\d+)\])?")


@runtime_checkable
class Slot(Protocol):
    """Where a hyperparameter takes effect."""

    def write(self, value: Value, /) -> None:
        """Set the value."""
        ...

    def read(self) -> Sequence[Any]:
        """Return the values that are set: one for each group or object, none if unknown."""
        ...


class GroupEntry:
    """An entry of an optimizer's param groups, or one element of it, as in ``betas[0]``."""

    def __init__(self, optimizer: Optimizer, entry: str, group: int | None = None) -> None:
        self.optimizer, self.entry, self._group = optimizer, entry, group
        parsed = ENTRY.fullmatch(entry)
        self.key = parsed["key"] if parsed else entry
        self._nth = int(parsed["nth"]) if parsed and parsed["nth"] else None
        if group is not None and not -len(optimizer.param_groups) <= group < len(
            optimizer.param_groups
        ):
            raise StateError(
                f"a param group must be one of the {len(optimizer.param_groups)} that the "
                f"{type(optimizer).__name__} has, but got {group=}"
            )
        for one in self._groups():
            self._check(one)

    def write(self, value: Value) -> None:
        for group in self._groups():
            if self._nth is None:
                group[self.key] = overwrite(group[self.key], value)
            else:
                parts = list(group[self.key])
                parts[self._nth] = overwrite(parts[self._nth], value)
                group[self.key] = type(group[self.key])(parts)

    def read(self) -> Sequence[Any]:
        entries = [group[self.key] for group in self._groups()]
        return entries if self._nth is None else [entry[self._nth] for entry in entries]

    def _groups(self) -> list[dict[str, Any]]:
        groups = self.optimizer.param_groups
        return groups if self._group is None else [groups[self._group]]

    def _check(self, group: dict[str, Any]) -> None:
        found = group.get(self.key)
        is_part = isinstance(found, list | tuple) and self._nth in range(len(found))
        if self.key not in group or self.key == "params" or (self._nth is not None and not is_part):
            raise StateError(
                f"a hyperparameter must be bound to an entry that the param groups have, but got "
                f"{self.entry!r}; those of this {type(self.optimizer).__name__} have "
                f"{entries_of(group)}"
            )


class Attributes:
    """The same attribute of one or more objects."""

    def __init__(self, holders: Sequence[object], name: str) -> None:
        self.holders, self._name = holders, name
        for holder in holders:
            if not hasattr(holder, name):
                numbers = list(numbers_of(holder))
                raise StateError(
                    f"a hyperparameter must be bound to an attribute that exists, but "
                    f"{type(holder).__name__} has no {name!r}; its numbers are {numbers}"
                )

    def write(self, value: Value) -> None:
        for holder in self.holders:
            setattr(holder, self._name, overwrite(getattr(holder, self._name), value))

    def read(self) -> Sequence[Any]:
        return [getattr(holder, self._name) for holder in self.holders]


class Setter:
    """A function that is called with the value. Nothing can be read back."""

    def __init__(self, function: Callable[[Any], object]) -> None:
        self._function = function

    def write(self, value: Value) -> None:
        self._function(value)

    def read(self) -> Sequence[Any]:
        return ()


class Several:
    """Several places that get the same value."""

    def __init__(self, places: Sequence[Slot]) -> None:
        self.places = places

    def write(self, value: Value) -> None:
        for place in self.places:
            place.write(value)

    def read(self) -> Sequence[Any]:
        return [value for place in self.places for value in place.read()]


def each(place: Slot) -> Iterator[Slot]:
    """Yield the places that ``Several`` stands for, or the place itself."""
    for one in place.places if isinstance(place, Several) else [place]:
        yield from each(one) if isinstance(one, Several) else [one]


def is_constant(place: Slot) -> bool:
    """Say whether a place is a number in a module, a constant to torch.compile."""
    return any(
        isinstance(holder, torch.nn.Module) and not isinstance(found, torch.Tensor)
        for one in each(place)
        if isinstance(one, Attributes)
        for holder, found in zip(one.holders, one.read(), strict=True)
    )


def param_group(optimizer: Optimizer, entry: str, *, group: int | None = None) -> Slot:
    """Return an entry of an optimizer's param groups, as a place to bind.

    Args:
        optimizer: The optimizer.
        entry: The name of the entry, or one element of it, as in ``"betas[0]"``.
        group: The number of the group; None for all groups.
    """
    return GroupEntry(optimizer, entry, group)


def entries_of(group: dict[str, Any]) -> list[str]:
    """Return the entries of a param group that a hyperparameter can be bound to.

    >>> entries_of({"params": [], "lr": 0.1, "betas": (0.9, 0.99), "foreach": None})
    ['lr', 'betas[0]', 'betas[1]']
    """
    names: list[str] = []
    for key, value in group.items():
        if not key.startswith("_") and _is_number(value):
            names.append(key)
        elif isinstance(value, tuple):
            names += [f"{key}[{nth}]" for nth in range(len(value))]
    return names


def numbers_of(holder: object) -> dict[str, Any]:
    """Return the public attributes of an object that are numbers, including buffers."""
    return {key: it for key, it in all_numbers_of(holder).items() if not key.startswith("_")}


def all_numbers_of(holder: object) -> dict[str, Any]:
    """Return the attributes of an object that are numbers, including private ones."""
    attributes = {**vars(holder), **vars(holder).get("_buffers", {})}
    return {key: value for key, value in attributes.items() if _is_number(value)}


def overwrite(now: Any, value: Any) -> Any:
    """Return a value to replace another; if that is a tensor, fill it and return it."""
    if isinstance(now, torch.Tensor):
        with torch.no_grad():
            return now.fill_(value)
    return value


def _is_number(value: Any) -> bool:
    alone = isinstance(value, torch.Tensor) and value.numel() == 1
    return alone or type(value) in {int, float}
