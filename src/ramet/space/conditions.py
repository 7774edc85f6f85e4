"""Conditions: hyperparameters that are there only if others have certain values."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ramet.domains import Choice, Constant, Domain, Integer, Value, plain
from ramet.errors import SpaceError

# What a condition may be on: a domain with values that can be listed.
LISTED = (Choice, Constant, Integer)


class Condition(NamedTuple):
    """What must hold for a hyperparameter to be there: another one has one of these values."""

    # The other one's name.
    on: str
    values: tuple[Value, ...]

    def holds(self, hparams: Mapping[str, Value]) -> bool:
        """Say whether it holds. 1, 1.0 and True are three values."""
        if self.on not in hparams:
            return False
        value = hparams[self.on]
        return any(type(one) is type(value) and one == value for one in self.values)

    def __str__(self) -> str:
        values = " or ".join(map(repr, self.values))
        return f"{self.on!r} is {values}"


class When:
    """A hyperparameter, or several, that is there only if others have certain values.

    Args:
        what: A domain, an array, or a dict or space of several.
        conditions: The other hyperparameters by name, each with the value that it must have, or a
            list of values. Use this for names that cannot be keywords. All conditions must hold.
        named: The same by keyword, as in ``optimizer="sgd"``.

    The other hyperparameters must be in the same space or dict.

    >>> from ramet import Choice, Space, Uniform
    >>> space = Space(
    ...     optimizer=Choice(["sgd", "adam"]),
    ...     momentum=When(Uniform(0.0, 0.99), optimizer="sgd"),
    ... )
    >>> space.contains({"optimizer": "adam"})
    True
    >>> space.problem({"optimizer": "sgd"})
    "'momentum' must be there, since 'optimizer' is 'sgd', but it is missing"
    """

    __slots__ = ("conditions", "what")

    def __init__(
        self, what: Any, conditions: Mapping[str, Any] | None = None, /, **named: Any
    ) -> None:
        self.what = what
        if conditions is not None and not isinstance(conditions, Mapping):
            raise SpaceError(
                f"conditions must be values by name, as in When(domain, {{'optimizer': 'sgd'}}), "
                f"but got {conditions!r}"
            )
        given = {**(conditions or {}), **named}
        if not given:
            raise SpaceError(
                "a condition must name a hyperparameter and its value, as in "
                "When(domain, optimizer='sgd'), but got none"
            )
        self.conditions = tuple(Condition(on, _list_values(values)) for on, values in given.items())

    def __repr__(self) -> str:
        given = ", ".join(f"{one.on!r}: {list(one.values)!r}" for one in self.conditions)
        return f"When({self.what!r}, {{{given}}})"

    def under(self, prefix: str) -> tuple[Condition, ...]:
        """Return its conditions where the names beside it begin with a prefix.

        Args:
            prefix: What all names get in front.
        """
        return tuple(one._replace(on=f"{prefix}{one.on}") for one in self.conditions)


def _list_values(values: Any) -> tuple[Value, ...]:
    found = plain(values)
    return found if isinstance(found, tuple) else (found,)


# The conditions of each hyperparameter that has some.
Conditions = Mapping[str, tuple[Condition, ...]]


def check_conditions(conditions: Conditions, domains: Mapping[str, Domain]) -> None:
    """Refuse conditions that can never hold, or that cannot be decided."""
    for name, its in conditions.items():
        for one in its:
            domain = domains.get(one.on)
            if domain is None:
                raise SpaceError(
                    f"hyperparameter {name!r} must depend on one that stands beside it, but "
                    f"{one.on!r} is none; the space has {list(domains)}. To depend on one further "
                    f"out, put the whole group into When"
                )
            if not isinstance(domain, LISTED):
                raise SpaceError(
                    f"hyperparameter {name!r} must depend on a Choice or an Integer, because their "
                    f"values can be listed, but {one.on!r} is {domain}"
                )
            wrong = _find_foreign(domain, one.values)
            if wrong or not one.values:
                raise SpaceError(
                    f"hyperparameter {name!r} must depend on values that {one.on!r} may have, "
                    f"those of {domain}, but got {wrong or 'none'}"
                )


def _find_foreign(domain: Domain, values: Sequence[Value]) -> list[Value]:
    """Return the values that are not in a domain."""
    if not isinstance(domain, Choice):
        return [value for value in values if not domain.contains(value)]
    # A set, because a recorded choice may have very many options.
    options = {(type(option), option) for option in domain.options}
    return [value for value in values if (type(value), value) not in options]


def sort(names: Sequence[str], conditions: Conditions) -> list[str]:
    """Return names with each behind those that it depends on, or refuse conditions in a circle."""
    done: dict[str, None] = {}
    for name in names:
        if name not in done:
            _visit(name, conditions, done)
    return list(done)


def _visit(name: str, conditions: Conditions, done: dict[str, None]) -> None:
    # A stack, because a recorded chain may be longer than Python's.
    path, waiting = {name: None}, [_on(name, conditions)]
    while waiting:
        on = next(waiting[-1], None)
        if on is None:
            waiting.pop()
            last, _ = path.popitem()
            done[last] = None
        elif on in path:
            circle = [*path][[*path].index(on) :]
            said = ", ".join(map(repr, circle))
            raise SpaceError(
                f"conditions must not go in a circle, but {said} depend on each other; take away "
                f"the When of one of them"
            )
        elif on not in done:
            path[on] = None
            waiting.append(_on(on, conditions))


def _on(name: str, conditions: Conditions) -> Iterator[str]:
    return (one.on for one in conditions.get(name, ()))
