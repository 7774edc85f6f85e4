"""What values of a space keep to together: conditions and limits."""

import math
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

import numpy as np

from ramet.domains import Choice, Domain, Integer, Value, exact
from ramet.space.conditions import check_conditions, sort
from ramet.space.declared import Declared
from ramet.space.narrowing import Limits

# Combinations of values that decide what is there. More are not gone through for the limits.
MOST_CASES = 256

# Stands for a value that is still to be chosen.
_TO_CHOOSE = object()


class Fitting:
    """Finds out whether values fit together, and makes them fit.

    Args:
        declared: The parts of the space.
    """

    def __init__(self, declared: Declared) -> None:
        self._domains, self._conditions = declared.domains, declared.conditions
        check_conditions(self._conditions, self._domains)
        # The hyperparameters that others depend on.
        self.decisive = {one.on: None for its in self._conditions.values() for one in its}
        # Names with those that others depend on first, so that all know whether they are there.
        first = [name for name in self._domains if name in self.decisive]
        self._order = sort([*first, *self._domains], self._conditions)
        # Whether there is nothing to fit, which members of most runs are spared to find out.
        self.is_free = not (self._conditions or declared.limits)
        self._limits = Limits(declared.limits, self._domains, self.decisive)
        for there in self._find_occasions(self._limits.names):
            self._limits.check(there)

    def complete(
        self, wanted: dict[str, Value], rng: np.random.Generator | None
    ) -> dict[str, Value]:
        """Return values that keep all conditions and limits, the wanted ones as far as they do.

        Those that must not be there are left out. Those that must be and are not wanted are drawn.
        A value that breaks a limit gives way to those before it in the space: it becomes the
        nearest one that keeps the limit.

        Args:
            wanted: Values in their domains, of any of the hyperparameters.
            rng: What draws are from; None if none is needed.
        """
        if self.is_free:
            if len(wanted) == len(self._domains):
                return wanted
            source = _need(rng)
            return {
                name: wanted[name] if name in wanted else domain.sample(source)
                for name, domain in self._domains.items()
            }
        if self._is_whole(wanted):
            if not self._conditions:
                return wanted
            # What has come back is not in the order of the space.
            return {name: wanted[name] for name in self._domains if name in wanted}
        there = self._there(wanted, rng)
        found: dict[str, Value] = {
            name: value for name, value in there.items() if value is not _TO_CHOOSE
        }
        for name, domain in self._domains.items():
            if there.get(name, 0) is not _TO_CHOOSE:
                continue
            if name not in self._limits:
                found[name] = wanted[name] if name in wanted else domain.sample(_need(rng))
            elif name in wanted:
                found[name] = self._limits.fit(name, wanted[name], found, there)
            else:
                found[name] = self._limits.draw(name, domain, found, there, _need(rng))
        return {name: found[name] for name in self._domains if name in found}

    def misfit(self, hparams: Mapping[str, Any]) -> str | None:
        """Return which condition or limit values in their domains break, or None.

        Args:
            hparams: The values by name.
        """
        if self.is_free:
            return None
        for name, its in self._conditions.items():
            if (name in hparams) == self._has(name, hparams):
                continue
            if name in hparams:
                said = " and ".join(map(str, its))
                return f"{name!r} is there only when {said}, but it is {hparams[name]!r}"
            its_values = ", ".join(f"{one.on!r} is {hparams[one.on]!r}" for one in its)
            return f"{name!r} must be there, since {its_values}, but it is missing"
        if limit := self._limits.broken(hparams):
            values = {name: hparams[name] for name in limit.names if name in hparams}
            return f"{limit}, but got {values}"
        return None

    def _find_occasions(self, names: Iterable[str]) -> set[frozenset[str]]:
        """Return which of some hyperparameters can be there together, unless it takes too long."""
        names = frozenset(names)
        behind = {name: None for name in names if name in self._conditions}
        if not behind:
            return set()
        named: dict[str, list[Value]] = {}
        for its in self._conditions.values():
            for one in its:
                named.setdefault(one.on, []).extend(one.values)
        for name in reversed(self._order):
            if name in behind:
                behind |= {one.on: None for one in self._conditions.get(name, ())}
        order = [name for name in self._order if name in behind]
        cases = [_list_cases(self._domains[name], named.get(name, [])) for name in order]
        if math.prod(map(len, cases)) > MOST_CASES:
            return set()
        found = set()
        for values in product(*cases):
            there: dict[str, Value] = {}
            for name, value in zip(order, values, strict=True):
                if self._has(name, there):
                    there[name] = value
            found.add(frozenset(name for name in names if name in there or name not in behind))
        return found

    def _is_whole(self, wanted: dict[str, Value]) -> bool:
        """Say whether values keep all conditions and limits already, in the space's order."""
        conditions = self._conditions
        if any(name not in wanted and name not in conditions for name in self._domains):
            return False
        return self.misfit(wanted) is None

    def _there(self, wanted: dict[str, Value], rng: np.random.Generator | None) -> dict[str, Any]:
        """Return the hyperparameters that are there, with values of those that others depend on."""
        there: dict[str, Any] = {}
        for name in self._order:
            if not self._has(name, there):
                continue
            there[name] = _TO_CHOOSE
            if name in self.decisive:
                there[name] = (
                    wanted[name] if name in wanted else self._domains[name].sample(_need(rng))
                )
        return there

    def _has(self, name: str, hparams: Mapping[str, Value]) -> bool:
        return all(one.holds(hparams) for one in self._conditions.get(name, ()))


def _list_cases(domain: Domain, named: list[Value]) -> list[Value]:
    """Return values that differ in which conditions hold: those named, and one of the others."""
    distinct = {exact(value): value for value in named}
    match domain:
        case Choice(options=options):
            others: Iterable[Value] = options
        case Integer():
            others = range(domain.low, domain.high + 1)
        case _:
            others = ()
    rest = next((value for value in others if exact(value) not in distinct), None)
    # What no condition is on has no value to matter.
    return [*distinct.values(), *([] if rest is None else [rest])] or [None]


def _need(rng: np.random.Generator | None) -> np.random.Generator:
    if rng is None:
        raise AssertionError
    return rng
