"""A space: the named hyperparameters of a run, and which of their combinations are allowed."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from ramet import showing, wording
from ramet.domains import Domain, LogUniform, Uniform, Value, exact, plain
from ramet.errors import RametError, SpaceError
from ramet.space.arrays import find_arrays
from ramet.space.conditions import Condition
from ramet.space.declared import (
    Declared,
    Where,
    check_arrays,
    check_mapping,
    check_names,
    check_together,
)
from ramet.space.fitting import Fitting
from ramet.space.limits import Limit
from ramet.space.values import Values
from ramet.visible import visible

__all__ = ["Hparams", "Space", "SpaceLike", "Where"]

# The values of all hyperparameters by name, of those that are there. No code changes one in place.
Hparams = dict[str, Value]

# How many draws in a row `where` may reject before a space counts as empty.
REDRAWS = 1_000


def same(one: Hparams, other: Hparams) -> bool:
    """Say whether members with these values train alike. 1, 1.0 and True are three values.

    Args:
        one: The values of a member, by name.
        other: Those of another.
    """
    if one is other:
        return True
    return one == other and all(exact(value) == exact(other[name]) for name, value in one.items())


class Space(Mapping[str, Domain]):
    """Named domains.

    Args:
        domains: Domains by name, as a dict. Nested spaces and dicts become dotted names. A value
            may also be an ``Array`` of a domain, or ``When(...)``, which is there only if others
            have certain values.
        where: A function of the values that accepts or rejects their combination.
        limits: Rules about several values: ``AtMost``, ``SumAtMost`` and ``ProductAtMost``. A value
            that breaks one is not drawn again: it becomes the nearest value that keeps the rule.
        named: Domains by name, as keyword arguments.

    >>> space = Space(lr=LogUniform(1e-4, 1.0), augment=Space(p=Uniform(0.0, 1.0)))
    >>> list(space)
    ['lr', 'augment.p']
    >>> Space(lr=LogUniform(0.0, 1.0))
    Traceback (most recent call last):
        ...
    ramet.errors.SpaceError: hyperparameter 'lr': 0 < low must hold on a log scale, got (low=0.0)
    """

    __slots__ = (
        "_fitting",
        "arrays",
        "conditions",
        "declared",
        "domains",
        "followers",
        "independent",
        "together",
    )

    def __init__(
        self,
        domains: Mapping[str, Any] | None = None,
        /,
        *,
        where: Where | None = None,
        limits: Sequence[Limit] = (),
        **named: Any,
    ) -> None:
        domains = {} if domains is None else domains
        check_mapping(domains)
        self.declared = Declared()
        if isinstance(domains, Space):
            self.declared.include(domains.declared)
            domains = {}
        for name, value in (*domains.items(), *named.items()):
            self.declared.add(name, value)
        if where is not None:
            if not callable(where):
                raise SpaceError(f"where= must be a function of the values, but got {where!r}")
            self.declared.predicates.append(("", where))
        if not isinstance(limits, list | tuple):
            raise SpaceError(
                f"limits= must be a list of limits, such as [AtMost('low', 'high')], but got "
                f"{limits!r}; a hyperparameter of that name is written Space({{'limits': ...}})"
            )
        self.declared.limits += limits
        self._settle_parts()

    def _settle_parts(self) -> None:
        found, conditions = self.declared.domains, self.declared.conditions
        check_names(found)
        check_arrays(found, conditions)
        # The same as items(), but several times faster.
        self.domains: tuple[tuple[str, Domain], ...] = tuple(found.items())
        # The conditions of each hyperparameter that has some.
        self.conditions: Mapping[str, tuple[Condition, ...]] = conditions
        # The names of the values of each numbered array, and of each that moves together.
        self.arrays: dict[str, tuple[str, ...]] = find_arrays(found)
        self.together: tuple[tuple[str, ...], ...] = tuple(self.declared.together)
        check_together(self.together, found)
        # Those of them that follow the first.
        self.followers = frozenset(name for names in self.together for name in names[1:])
        self._fitting = Fitting(self.declared)
        # Whether each hyperparameter may have any value of its domain, whatever the others are.
        self.independent = self._fitting.is_free and not (self.together or self.restricted)

    def __getitem__(self, name: str) -> Domain:
        return self.declared.domains[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.declared.domains)

    def __len__(self) -> int:
        return len(self.domains)

    def __eq__(self, other: object) -> bool:
        # Draws depend on the domains and their order. Code cannot be compared.
        return isinstance(other, Space) and _without_code(self) == _without_code(other)

    def __hash__(self) -> int:
        return hash(tuple(self.declared.domains))

    def __repr__(self) -> str:
        said = [f"{name}={domain}" for name, domain in self.items()]
        for name, its in self.conditions.items():
            said.append(f"{name!r} only when {' and '.join(map(str, its))}")
        return visible(f"Space({', '.join([*said, *map(str, self.declared.limits)])})")

    def _repr_html_(self) -> str:
        conditions = {name: " and ".join(map(str, its)) for name, its in self.conditions.items()}
        rows = [
            (name, domain, *([conditions.get(name, "")] if conditions else []))
            for name, domain in self.items()
        ]
        limits = [str(limit) for limit in self.declared.limits]
        columns = ["hyperparameter", "domain", *(["only when"] if conditions else [])]
        shown = showing.table(columns, rows, left=3)
        said = wording.count(len(self), "hyperparameter")
        rules = showing.shorten(limits, "…")
        return showing.join([showing.headline("Space", said), shown, *rules])

    @classmethod
    def of(cls, space: "SpaceLike") -> "Space":
        """Return a space as it is, or the space of a dict.

        Args:
            space: A space, or domains by name, which may be nested.

        >>> Space.of({"lr": LogUniform(1e-4, 1.0), "augment": {"p": Uniform(0.0, 1.0)}})
        Space(lr=LogUniform(low=0.0001, high=1.0), augment.p=Uniform(low=0.0, high=1.0))
        """
        if isinstance(space, Space):
            return space
        check_mapping(space)
        return cls(space)

    def sample(self, rng: np.random.Generator) -> Hparams:
        """Draw the values that a member starts with."""
        hparams: Hparams = {}
        for _ in range(REDRAWS):
            hparams = self.complete({}, rng)
            if self.allows(hparams):
                return hparams
        raise SpaceError(
            f"where= must accept some combination, but it rejected {REDRAWS:,} draws in a row, the "
            f"last of them {hparams}; widen it, or narrow the domains to where it holds"
        )

    def complete(self, wanted: Hparams, rng: np.random.Generator | None) -> Hparams:
        """Return values that keep all conditions and limits: the wanted ones where possible.

        A wanted value is left out if its condition does not hold. A hyperparameter that must be
        there and has no wanted value is drawn. If values break a limit, the last of them in the
        space changes: it becomes the nearest value that keeps the limit.

        Args:
            wanted: Values in their domains, of any of the hyperparameters.
            rng: What draws are from; None if none is needed.
        """
        return self._fitting.complete(wanted, rng)

    @property
    def restricted(self) -> bool:
        """Whether the space has a ``where``, which may reject values in their domains."""
        return bool(self.declared.predicates)

    @property
    def conditional(self) -> bool:
        """Whether some hyperparameters are there only if others have certain values."""
        return bool(self.conditions)

    def allows(self, hparams: Mapping[str, Value]) -> bool:
        """Say whether every ``where`` accepts values that are in their domains.

        Args:
            hparams: The values by name.
        """
        return all(
            _accepts(predicate, Values(hparams, prefix, conditions=self.conditions))
            for prefix, predicate in self.declared.predicates
            # A group that is not there has nothing to accept.
            if not prefix or any(name.startswith(prefix) for name in hparams)
        )

    def contains(self, hparams: Mapping[str, Value]) -> bool:
        """Say whether values are in the space.

        Args:
            hparams: The values by name.
        """
        return self.problem(hparams) is None

    def problem(self, hparams: Mapping[str, Value]) -> str | None:
        """Return why values are not in the space, or None if they are.

        Args:
            hparams: The values by name.
        """
        if hparams.keys() != self.declared.domains.keys():
            unknown = [name for name in hparams if name not in self.declared.domains]
            missing = [name for name in self if name not in hparams and name not in self.conditions]
            wrong = [f"{missing} missing"] * bool(missing) + [f"{unknown} unknown"] * bool(unknown)
            if wrong:
                return f"{' and '.join(wrong)}; the space has {list(self)}"
        for name, domain in self.domains:
            if name in hparams and not domain.contains(hparams[name]):
                return f"{name!r} must be in {domain}, but got {hparams[name]!r}"
        if misfit := self.misfit(hparams):
            return misfit
        return None if self.allows(hparams) else f"where= rejects {dict(hparams)}"

    def misfit(self, hparams: Mapping[str, Any]) -> str | None:
        """Return the condition or limit that values break, or None. They must be in their domains.

        Args:
            hparams: The values by name.
        """
        return self._fitting.misfit(hparams)

    def adopt(self, hparams: Mapping[str, Any], what: str) -> Hparams:
        """Return values as the space keeps them: with dotted names, and 1 as 1.0 for a real number.

        Args:
            hparams: The values by name, nested or not.
            what: What they are, for the error if they are not in the space.
        """
        domains = self.declared.domains
        if hparams.keys() != domains.keys():
            pairs = [
                pair for name, value in _flatten("", hparams) for pair in self._spread(name, value)
            ]
            hparams = dict(pairs)
            if len(hparams) < len(pairs):
                raise SpaceError(f"{what} must have each value once, but got {pairs!r}")
        adopted = {
            name: _as_declared(domains.get(name), plain(value)) for name, value in hparams.items()
        }
        if problem := self.problem(adopted):
            raise SpaceError(f"{what} must lie in the space: {problem}")
        return {name: adopted[name] for name in domains if name in adopted}

    def _spread(self, name: str, value: Any) -> Iterator[tuple[str, Any]]:
        """Yield the values of an array by their names, or the value itself."""
        names, values = self.arrays.get(name), plain(value)
        if names is None or not isinstance(values, tuple):
            yield name, value
            return
        if len(values) != len(names):
            raise SpaceError(
                f"array {name!r} must have {len(names)} values, but got {len(values)}: {value!r}"
            )
        yield from zip(names, values, strict=True)

    def describe(self) -> dict[str, Any]:
        """Return the space as plain data, which a log keeps and runs are compared by."""
        return self.declared.describe()

    @classmethod
    def from_description(cls, data: Mapping[str, Any]) -> "Space":
        """Rebuild a space without its code, which is ``where=`` and ``explore=``.

        Args:
            data: What ``describe`` returned.
        """
        space = object.__new__(cls)
        space.declared = Declared.from_description(data)
        space._settle_parts()
        return space


# What a run takes for a space: a space, or domains by name, which may be nested.
SpaceLike: TypeAlias = Space | Mapping[str, Any]


def _without_code(space: Space) -> tuple[Any, ...]:
    domains = [(name, _explore_as_usual(domain)) for name, domain in space.domains]
    return domains, dict(space.conditions), space.declared.limits, space.together


def _explore_as_usual(domain: Domain) -> Domain:
    return dataclasses.replace(domain, explore=None)  # type: ignore[type-var]  # a dataclass


def _accepts(predicate: Where, values: Values) -> bool:
    try:
        accepted: Any = predicate(values)
    except RametError:
        raise
    except Exception as error:
        raise SpaceError(
            f"where= must accept or reject, but with {values} it raised {error!r}"
        ) from error
    if accepted is None:
        raise SpaceError(f"where= must return True or False, but with {values} it returned None")
    return bool(accepted)


def _flatten(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        full = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _flatten(f"{full}.", value)
        else:
            yield full, value


def _as_declared(domain: Domain | None, value: Any) -> Any:
    if type(value) is int and isinstance(domain, Uniform | LogUniform):
        return float(value)
    return value
