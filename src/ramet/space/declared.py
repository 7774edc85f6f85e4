"""What a space is declared with: domains by name, and what holds between them."""

import dataclasses
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ramet.description import describe
from ramet.domains import (
    Choice,
    Constant,
    Domain,
    Explore,
    Integer,
    LogUniform,
    Uniform,
)
from ramet.domains.answers import suggest
from ramet.errors import SpaceError
from ramet.space.arrays import Array, element, find_arrays
from ramet.space.conditions import Condition, Conditions, When
from ramet.space.limits import LIMITS, Limit
from ramet.wording import is_text

# A predicate of the values: whether a combination is allowed.
Where = Callable[[Mapping[str, Any]], bool]

DOMAINS = (Uniform, LogUniform, Integer, Choice, Constant)


class Declared:
    """The parts of a space, with dotted names for those in groups."""

    def __init__(self) -> None:
        self.domains: dict[str, Domain] = {}
        # Each with the prefix of the names that it gets.
        self.predicates: list[tuple[str, Where]] = []
        self.conditions: dict[str, tuple[Condition, ...]] = {}
        self.limits: list[Limit] = []
        # Arrays that move together.
        self.together: list[tuple[str, ...]] = []

    def add(self, name: Any, value: Any, conditions: tuple[Condition, ...] = ()) -> None:
        """Add what is declared under a name, a group or a domain, or refuse it.

        Args:
            name: The name, with that of its group.
            value: The domain, array, condition, or space or dict of more of them.
            conditions: The conditions of all of it.
        """
        _check_name(name)
        match value:
            case When():
                prefix = name[: name.rfind(".") + 1]
                self.add(name, value.what, conditions + value.under(prefix))
            case Array():
                names = value.names_under(name)
                for inner in names:
                    self.add(inner, value.domain, conditions)
                if value.together:
                    self.together.append(tuple(names))
            case Mapping():
                own = getattr(value, "declared", None)
                if isinstance(own, Declared):
                    self._include(own, f"{name}.", conditions)
                    return
                for inner, domain in value.items():
                    self.add(f"{name}.{inner}", domain, conditions)
            case _:
                self._add_domain(name, value, conditions)

    def include(self, other: "Declared") -> None:
        """Add all of another space."""
        self._include(other, "", ())

    def describe(self) -> dict[str, Any]:
        """Return the parts as plain data."""
        more = {
            "where": [[prefix, describe(where)] for prefix, where in self.predicates],
            "when": [
                [name, [[one.on, list(one.values)] for one in its]]
                for name, its in self.conditions.items()
            ],
            "limits": [describe(limit) for limit in self.limits],
            "together": [list(names) for names in self.together],
        }
        return {
            "names": list(self.domains),
            "domains": {name: describe(domain) for name, domain in self.domains.items()},
            **{key: part for key, part in more.items() if part},
        }

    @classmethod
    def from_description(cls, data: Mapping[str, Any]) -> "Declared":
        """Rebuild the parts without their code.

        Args:
            data: What ``describe`` returned.
        """
        declared = cls()
        kinds = {kind.__name__: kind for kind in DOMAINS}
        when = {
            name: tuple(Condition(_text(on), _tuple(values)) for on, values in its)
            for name, its in data.get("when", ())
        }
        for name in data["names"]:
            declared.add(name, _rebuild(kinds, data["domains"][name]), when.pop(name, ()))
        if when:
            raise SpaceError(f"conditions must be of names in the space, but got {list(when)}")
        rules = {kind.__name__: kind for kind in LIMITS}
        for limit in data.get("limits", ()):
            given = {name: value for name, value in limit.items() if name != "type"}
            declared.limits.append(rules[limit["type"]](**given))
        declared.together += map(_tuple, data.get("together", ()))
        return declared

    def _include(self, other: "Declared", prefix: str, conditions: tuple[Condition, ...]) -> None:
        for name, domain in other.domains.items():
            own = tuple(
                one._replace(on=f"{prefix}{one.on}") for one in other.conditions.get(name, ())
            )
            self._add_domain(f"{prefix}{name}", domain, conditions + own)
        self.predicates += [(f"{prefix}{at}", where) for at, where in other.predicates]
        self.limits += [limit.under(prefix) for limit in other.limits]
        self.together += [tuple(f"{prefix}{one}" for one in names) for names in other.together]

    def _add_domain(self, name: str, domain: Any, conditions: tuple[Condition, ...]) -> None:
        _check_name(name)
        _check_domain(name, domain)
        if name in self.domains:
            raise SpaceError(f"hyperparameter names must be distinct, but got {name!r} twice")
        self.domains[name] = domain
        if conditions:
            self.conditions[name] = tuple(dict.fromkeys(conditions))


def check_mapping(domains: object) -> None:
    """Refuse what is neither a space nor a dict."""
    if not isinstance(domains, Mapping):
        raise SpaceError(
            f"space must be a Space, such as Space(lr=...), or a dict, such as {{'lr': ...}}, "
            f"but got {domains!r}"
        )


def check_names(domains: Mapping[str, Domain]) -> None:
    """Refuse a space without names, and names of a hyperparameter and of several."""
    if not domains:
        raise SpaceError("a space must have at least one hyperparameter, but got none")
    ordered = sorted(domains)
    for name in domains:
        if (inner := _find_in_group(name, ordered)) is not None:
            raise SpaceError(
                f"a name must be a hyperparameter or a group of them, but {name!r} is both "
                f"(because of {inner!r})"
            )


def check_arrays(domains: Mapping[str, Domain], conditions: Conditions) -> None:
    """Refuse arrays of which one value alone may be missing, and names that stand for two."""
    arrays = find_arrays(domains)
    ordered = sorted(domains) if arrays else []
    for name, names in arrays.items():
        if name in domains or _find_in_group(name, ordered) is not None:
            raise SpaceError(
                f"a name must be a hyperparameter, a group or an array, but {name!r} is two of "
                f"these (because of {element(name, 0)!r})"
            )
        if len({frozenset(conditions.get(one, ())) for one in names}) > 1:
            raise SpaceError(
                f"the values of an array must be there together or not at all, but those of "
                f"{name!r} have different conditions; write When(Array(...), ...)"
            )


def check_together(arrays: Sequence[tuple[str, ...]], domains: Mapping[str, Domain]) -> None:
    """Refuse arrays of which the values cannot move together."""
    for names in arrays:
        its = {name: domains.get(name) for name in names}
        first = its.get(names[0]) if names else None
        if first is None or any(domain != first for domain in its.values()):
            raise SpaceError(
                f"values that move together must be hyperparameters of one domain, but got {its}"
            )
        if isinstance(first, Choice) and not first.ordered:
            raise SpaceError(
                f"values that move together must have an order, but {names[0]!r} is {first}; "
                f"write ordered=True if its options have one, or leave out together=True"
            )


def _find_in_group(group: str, ordered: Sequence[str]) -> str | None:
    """Return a name in a group; None if there is no such group.

    Args:
        group: The name of the group.
        ordered: All names, sorted.
    """
    prefix = f"{group}."
    at = bisect_left(ordered, prefix)
    return ordered[at] if at < len(ordered) and ordered[at].startswith(prefix) else None


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not all(name.split(".")):
        raise SpaceError(
            f"a hyperparameter's name must not be empty, and must be text, but got {name!r}"
        )
    if not is_text(name):
        raise SpaceError(
            f"a hyperparameter's name must be text that a log can hold, but {name!r} has "
            f"a lone surrogate in it; give it another name"
        )


def _check_domain(name: str, value: Any) -> None:
    """Refuse what is no domain, and a domain that is not valid."""
    if not isinstance(value, DOMAINS):
        meant = suggest(value)
        if meant is None and Constant(value).problem() is None:
            meant = f"Constant({value!r})"
        remedy = f"; write {meant}" if meant else ""
        if name == "where" and callable(value) and not isinstance(value, type):
            remedy = "; for a rule that combinations must keep, write Space({...}, where=...)"
        if name == "limits" and isinstance(value, list | tuple):
            remedy = "; for limits of several values, write Space({...}, limits=[...])"
        raise SpaceError(
            f"hyperparameter {name!r} must be a domain, such as Uniform(0.0, 1.0), but got "
            f"{value!r}{remedy}"
        )
    if problem := value.problem():
        raise SpaceError(f"hyperparameter {name!r}: {problem}")
    rule: object = value.explore
    if rule is not None and (isinstance(rule, type) or not isinstance(rule, Explore)):
        raise SpaceError(
            f"hyperparameter {name!r}: explore= must be a rule such as Perturb(), but got {rule!r}"
        )


def _rebuild(kinds: Mapping[str, Any], data: Mapping[str, Any]) -> Domain:
    kind = kinds[data["type"]]
    fields = {field.name for field in dataclasses.fields(kind)} - {"explore"}
    given = {name: value for name, value in data.items() if name in fields}
    if given.get("start") is not None:
        given["start"] = tuple(given["start"])
    domain: Domain = kind(**given)
    return domain


def _tuple(values: Any) -> tuple[Any, ...]:
    if not isinstance(values, list | tuple):
        raise SpaceError(f"a list must stand there, but got {values!r}")
    return tuple(values)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise SpaceError(f"a name must stand there, but got {value!r}")
    return value
