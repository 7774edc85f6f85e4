"""Chooses values that keep limits, without drawing any again."""

import dataclasses
import math
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ramet.domains import Choice, Constant, Domain, Integer, LogUniform, Uniform, Value
from ramet.domains.base import is_real
from ramet.errors import SpaceError
from ramet.space.limits import LIMITS, AtMost, Limit, Numbers, ProductAtMost

# More are no space that anyone writes, and would take long to check.
MOST_LIMITS = 1_000
# Values that raise each other in a circle are followed this many times around.
ROUNDS = 100
# A search between two floats ends after this many halvings.
HALVINGS = 200


class Limits:
    """The limits of a space, and how values are chosen or moved so that they keep them.

    Values are chosen one after the other. Each may be any that leaves the later ones a value. All
    limits are broken only by greater values, except that a greater ``low`` needs a greater
    ``high``. So there is a least choice of all values that keeps them, if any does, and the values
    that one hyperparameter may have lie in one piece, from its least one up, unless limits go in a
    circle.

    Args:
        limits: The limits.
        domains: The domains of all hyperparameters.
        decisive: Those that others depend on, which no limit may be about.
    """

    def __init__(
        self, limits: Sequence[Limit], domains: Mapping[str, Domain], decisive: Collection[str]
    ) -> None:
        self.limits, self._domains = tuple(limits), domains
        if len(self.limits) > MOST_LIMITS:
            raise SpaceError(
                f"a space must have at most {MOST_LIMITS:,} limits, but got {len(self.limits):,}"
            )
        for limit in self.limits:
            _check(limit, domains, decisive)
        about = {name: limit for limit in self.limits for name in limit.names}
        for name, limit in about.items():
            _check_number(limit, name, domains[name])
        self._lines = {name: _Line(domains[name]) for name in domains if name in about}
        for limit in self.limits:
            if isinstance(limit, ProductAtMost):
                self._check_product(limit)
        self._pairs = _sort_pairs([limit for limit in self.limits if isinstance(limit, AtMost)])
        self.check(self._lines)

    @property
    def names(self) -> Collection[str]:
        """The hyperparameters that the limits are about."""
        return self._lines.keys()

    def check(self, there: Collection[str]) -> None:
        """Refuse limits that no values of the hyperparameters that are there keep."""
        if self._least({}, there) is None:
            its = {name: self._domains[name] for name in self._lines if name in there}
            widest = ", ".join(f"{name}={domain}" for name, domain in its.items())
            alone = "" if len(its) == len(self._lines) else ", while no others are there,"
            said = [str(limit) for limit in self.limits if any(name in its for name in limit.names)]
            raise SpaceError(
                f"some values must keep all limits at once, but none of {widest}{alone} do: "
                f"{'; '.join(said)}; widen the domains or the limits"
            )

    def _check_product(self, limit: ProductAtMost) -> None:
        for name in limit.names:
            if self._lines[name].low < 0:
                raise SpaceError(
                    f"a product must be of hyperparameters that are never below 0, but {name!r} is "
                    f"{self._domains[name]}; use where= for this one"
                )

    def __contains__(self, name: str) -> bool:
        return name in self._lines

    def broken(self, hparams: Mapping[str, Any]) -> Limit | None:
        """Return a limit that values break; None if they keep all."""
        return next((limit for limit in self.limits if not limit.holds(hparams)), None)

    def fit(self, name: str, wanted: Any, chosen: Mapping[str, Any], there: Collection[str]) -> Any:
        """Return the value nearest to the wanted one that leaves the others a value.

        Args:
            name: The hyperparameter.
            wanted: A value in its domain.
            chosen: The values that are chosen already.
            there: All hyperparameters that are there.
        """
        if self._least({**chosen, name: wanted}, there) is not None:
            return wanted
        least = self._least(chosen, there)
        if least is None:
            self.check(there)
            raise AssertionError(name, chosen)
        if wanted <= least[name]:
            return least[name]
        good, bad = least[name], wanted
        for _ in range(HALVINGS):
            between = self._lines[name].between(good, bad)
            if between is None:
                break
            if self._least({**chosen, name: between}, there) is None:
                bad = between
            else:
                good = between
        return good

    def draw(
        self,
        name: str,
        domain: Domain,
        chosen: Mapping[str, Any],
        there: Collection[str],
        rng: np.random.Generator,
    ) -> Value:
        """Draw a value from the part of its domain that leaves the others a value."""
        line = self._lines[name]
        low = self.fit(name, line.low, chosen, there)
        high = self.fit(name, line.high, chosen, there)
        if (low, high) == (line.low, line.high):
            return domain.sample(rng)
        drawn = _narrow(domain, low, high).sample(rng)
        # Of limits in a circle, as a <= 3 * b and 3 * b <= a, some values between are not allowed.
        return self.fit(name, drawn, chosen, there)  # type: ignore[no-any-return]  # a value

    def _least(self, chosen: Numbers, there: Collection[str]) -> dict[str, float] | None:
        """Return the least values of those that are there, with the chosen ones; None for none."""
        values = {
            name: chosen.get(name, line.low) for name, line in self._lines.items() if name in there
        }
        for _ in range(ROUNDS):
            raised = False
            for pair in self._pairs:
                if pair.holds(values):
                    continue
                if pair.high in chosen:
                    return None
                found = self._lines[pair.high].least(pair, values)
                if found is None:
                    return None
                values[pair.high], raised = found, True
            if not raised:
                break
        return values if self.broken(values) is None else None


class _Line:
    """The numbers that a hyperparameter may be, in order."""

    def __init__(self, domain: Domain) -> None:
        self.options: list[float] | None = None
        match domain:
            case Choice(options=options):
                self.options = sorted(options)  # type: ignore[arg-type]  # _check has seen to it
            case Constant(value=value):
                self.options = [value]  # type: ignore[list-item]  # likewise
            case Uniform() | LogUniform():
                self.low, self.high = float(domain.low), float(domain.high)
            case Integer():
                self.low, self.high = domain.low, domain.high
            case _:
                raise AssertionError(domain)
        if self.options is not None:
            self.low, self.high = self.options[0], self.options[-1]
        self._is_whole = isinstance(domain, Integer)

    def least(self, pair: AtMost, values: Numbers) -> float | None:
        """Return the least number that is high enough for a pair; None if there is none."""
        low = values[pair.low]
        if self.options is not None:
            at = bisect_left(self.options, low, key=lambda option: pair.factor * option)
            return self.options[at] if at < len(self.options) else None
        if not low <= pair.factor * self.high:
            return None
        found = low / pair.factor
        found = math.ceil(found) if self._is_whole and math.isfinite(found) else found
        found = min(max(found, self.low), self.high)
        for _ in range(HALVINGS):
            if low <= pair.factor * found:
                return found
            # Rounding has left it too low.
            found = found + 1 if self._is_whole else math.nextafter(found, math.inf)
        return self.high

    def between(self, low: float, high: float) -> float | None:
        """Return a number about halfway between two others; None if there is none."""
        if self.options is not None:
            first, end = bisect_right(self.options, low), bisect_left(self.options, high)
            return self.options[(first + end) // 2] if first < end else None
        middle = (low + high) // 2 if self._is_whole else low / 2 + high / 2
        return middle if low < middle < high else None


def _sort_pairs(pairs: Sequence[AtMost]) -> list[AtMost]:
    """Return pairs with those first that raise what is low in others, where there is no circle."""
    by_low: dict[str, list[AtMost]] = {}
    for pair in pairs:
        by_low.setdefault(pair.low, []).append(pair)
    done: list[AtMost] = []
    seen: set[str] = set()
    for first, its in by_low.items():
        if first in seen:
            continue
        seen.add(first)
        # A stack, because a recorded chain may be longer than Python's.
        waiting = [(first, iter(its))]
        while waiting:
            name, rest = waiting[-1]
            high = next((each.high for each in rest if each.high not in seen), None)
            if high is None:
                waiting.pop()
                done += reversed(by_low.get(name, []))
                continue
            seen.add(high)
            waiting.append((high, iter(by_low.get(high, []))))
    return done[::-1]


def _narrow(domain: Domain, low: Any, high: Any) -> Domain:
    """Return the part of a domain between two of its values."""
    match domain:
        case Choice(options=options):
            return Choice([it for it in options if low <= it <= high])
        case Uniform() | LogUniform() | Integer() if low < high:
            start: Any = domain.start and tuple(min(max(it, low), high) for it in domain.start)
            return dataclasses.replace(domain, low=low, high=high, start=start)
        case _:
            return Constant(low)


def _check(limit: Any, domains: Mapping[str, Domain], decisive: Collection[str]) -> None:
    if not isinstance(limit, LIMITS):
        raise SpaceError(
            f"a limit must be AtMost(low, high), SumAtMost(names, bound) or ProductAtMost(names, "
            f"bound), but got {limit!r}; any other rule of the values is where="
        )
    if problem := limit.problem():
        raise SpaceError(f"{limit!r}: {problem}")
    for name in limit.names:
        if name not in domains:
            raise SpaceError(
                f"a limit must be about hyperparameters of its space, which has {list(domains)}, "
                f"but {limit!r} names {name!r}"
            )
        if name in decisive:
            raise SpaceError(
                f"a limit must be about hyperparameters that no others depend on, but {limit!r} "
                f"names {name!r}, and a When does too; use where= for one of the two"
            )


def _check_number(limit: Limit, name: str, domain: Domain) -> None:
    if wrong := [it for it in _ends(domain) if not is_real(it)]:
        raise SpaceError(
            f"a limit must be about numbers, but {limit!r} names {name!r}, which may be "
            f"{wrong[0]!r}"
        )


def _ends(domain: Domain) -> Iterator[Value]:
    """Yield values of which the least and the greatest are those of the domain."""
    match domain:
        case Choice(options=options):
            yield from options
        case Constant(value=value):
            yield value
        case Uniform() | LogUniform() | Integer():
            yield from (domain.low, domain.high)
