"""A space: the named hyperparameters of a run, and which of their combinations are allowed."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from ramet.description import describe
from ramet.domains import (
    Choice,
    Constant,
    Domain,
    Explore,
    Integer,
    LogUniform,
    Uniform,
    Value,
    exact,
    plain,
)
from ramet.domains.answers import suggest
from ramet.errors import RametError, SpaceError
from ramet.values import Values
from ramet.wording import is_text

__all__ = ["Hparams", "Space", "SpaceLike", "Where"]

# The values of all hyperparameters by name. No code changes one in place.
Hparams = dict[str, Value]
# A predicate of the values: whether a combination is allowed.
Where = Callable[[Mapping[str, Any]], bool]

# How many draws in a row `where` may reject before a space counts as empty.
REDRAWS = 1_000

DOMAINS = (Uniform, LogUniform, Integer, Choice, Constant)


def same(one: Hparams, other: Hparams) -> bool:
    """Say whether members with these values train alike. 1, 1.0 and True are three values."""
    if one is other:
        return True
    return one == other and all(exact(value) == exact(other[name]) for name, value in one.items())


class Space(Mapping[str, Domain]):
    """Named domains.

    Args:
        domains: Domains by name, as a dict. Nested spaces and dicts become dotted names.
        where: A function of the values that accepts or rejects their combination.
        named: Domains by name, as keyword arguments.

    >>> space = Space(lr=LogUniform(1e-4, 1.0), augment=Space(p=Uniform(0.0, 1.0)))
    >>> list(space)
    ['lr', 'augment.p']
    >>> Space(lr=LogUniform(0.0, 1.0))
    Traceback (most recent call last):
        ...
    ramet.errors.SpaceError: hyperparameter 'lr': 0 < low must hold on a log scale, got (low=0.0)
    """

    __slots__ = ("_domains", "_predicates", "domains")

    def __init__(
        self,
        domains: Mapping[str, Any] | None = None,
        /,
        *,
        where: Where | None = None,
        **named: Any,
    ) -> None:
        domains = {} if domains is None else domains
        _check_mapping(domains)
        self._domains: dict[str, Domain] = {}
        # Each with the prefix of the names that it gets.
        self._predicates: tuple[tuple[str, Where], ...] = ()
        if isinstance(domains, Space):
            self._predicates = domains._predicates  # noqa: SLF001 - a Space too
        for name, value in (*domains.items(), *named.items()):
            self._add(name, value)
        if where is not None:
            if not callable(where):
                raise SpaceError(f"where= must be a function of the values, but got {where!r}")
            self._predicates += (("", where),)
        _check_names(self._domains)
        # The same as items(), but several times faster, which decisions for many members need.
        self.domains: tuple[tuple[str, Domain], ...] = tuple(self._domains.items())

    def __getitem__(self, name: str) -> Domain:
        return self._domains[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._domains)

    def __len__(self) -> int:
        return len(self._domains)

    def __eq__(self, other: object) -> bool:
        # Draws depend on the domains and their order. Code cannot be compared.
        return isinstance(other, Space) and _without_code(self) == _without_code(other)

    def __hash__(self) -> int:
        return hash(tuple(self._domains))

    def __repr__(self) -> str:
        return f"Space({', '.join(f'{name}={domain}' for name, domain in self.items())})"

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
        _check_mapping(space)
        return cls(space)

    def sample(self, rng: np.random.Generator) -> Hparams:
        """Draw the values that a member starts with."""
        hparams: Hparams = {}
        for _ in range(REDRAWS):
            hparams = {name: domain.sample(rng) for name, domain in self._domains.items()}
            if self.allows(hparams):
                return hparams
        raise SpaceError(
            f"where= must accept some combination, but it rejected {REDRAWS:,} draws in a row, the "
            f"last of them {hparams}; widen it, or narrow the domains to where it holds"
        )

    @property
    def restricted(self) -> bool:
        """Whether the space has a ``where``, which may reject values in their domains."""
        return bool(self._predicates)

    def allows(self, hparams: Mapping[str, Value]) -> bool:
        """Say whether every ``where`` accepts values that are in their domains.

        Args:
            hparams: The values by name.
        """
        return all(
            _accepts(predicate, Values(hparams, prefix)) for prefix, predicate in self._predicates
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
        if hparams.keys() != self._domains.keys():
            missing = [name for name in self if name not in hparams]
            unknown = [name for name in hparams if name not in self]
            wrong = [f"{missing} missing"] * bool(missing) + [f"{unknown} unknown"] * bool(unknown)
            return f"{' and '.join(wrong)}; the space has {list(self)}"
        for name, domain in self._domains.items():
            if not domain.contains(hparams[name]):
                return f"{name!r} must be in {domain}, but got {hparams[name]!r}"
        return None if self.allows(hparams) else f"where= rejects {dict(hparams)}"

    def adopt(self, hparams: Mapping[str, Any], what: str) -> Hparams:
        """Return values as the space keeps them: with dotted names, and 1 as 1.0 for a real number.

        Args:
            hparams: The values by name, nested or not.
            what: What they are, for the error if they are not in the space.
        """
        domains = self._domains
        if hparams.keys() != domains.keys():
            pairs = list(_flatten("", hparams))
            hparams = dict(pairs)
            if len(hparams) < len(pairs):
                raise SpaceError(f"{what} must have each value once, but got {pairs!r}")
        adopted = {
            name: _as_declared(domains.get(name), plain(value)) for name, value in hparams.items()
        }
        if problem := self.problem(adopted):
            raise SpaceError(f"{what} must lie in the space: {problem}")
        return {name: adopted[name] for name in domains}

    def describe(self) -> dict[str, Any]:
        """Return the space as plain data, which a log keeps and runs are compared by."""
        where = [[prefix, describe(predicate)] for prefix, predicate in self._predicates]
        return {
            "names": list(self),
            "domains": {name: describe(domain) for name, domain in self._domains.items()},
            **({"where": where} if where else {}),
        }

    @classmethod
    def from_description(cls, data: Mapping[str, Any]) -> "Space":
        """Rebuild a space without its code, which is ``where=`` and ``explore=``.

        Args:
            data: What ``describe`` returned.
        """
        kinds = {kind.__name__: kind for kind in DOMAINS}
        return cls({name: _rebuild(kinds, data["domains"][name]) for name in data["names"]})

    def _add(self, name: Any, value: Any) -> None:
        if not isinstance(name, str) or not all(name.split(".")):
            raise SpaceError(
                f"a hyperparameter's name must not be empty, and must be text, but got {name!r}"
            )
        if not is_text(name):
            raise SpaceError(
                f"a hyperparameter's name must be text that a log can hold, but {name!r} has "
                f"a lone surrogate in it; give it another name"
            )
        if isinstance(value, Space):
            prefixed = ((f"{name}.{prefix}", where) for prefix, where in value._predicates)  # noqa: SLF001 - a Space too
            self._predicates += tuple(prefixed)
        if isinstance(value, Mapping):
            for inner, domain in value.items():
                self._add(f"{name}.{inner}", domain)
            return
        _check_domain(name, value)
        if name in self._domains:
            raise SpaceError(f"hyperparameter names must be distinct, but got {name!r} twice")
        self._domains[name] = value


# What a run takes for a space: a space, or domains by name, which may be nested.
SpaceLike: TypeAlias = Space | Mapping[str, Any]


def _check_mapping(domains: object) -> None:
    if not isinstance(domains, Mapping):
        raise SpaceError(
            f"space must be a Space, such as Space(lr=...), or a dict, such as {{'lr': ...}}, "
            f"but got {domains!r}"
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


def _check_names(domains: Mapping[str, Domain]) -> None:
    if not domains:
        raise SpaceError("a space must have at least one hyperparameter, but got none")
    for name in domains:
        parts = name.split(".")
        for depth in range(1, len(parts)):
            if (prefix := ".".join(parts[:depth])) in domains:
                raise SpaceError(
                    f"a name must be a hyperparameter or a group of them, but {prefix!r} is both "
                    f"(because of {name!r})"
                )


def _without_code(space: Space) -> list[tuple[str, Domain]]:
    return [(name, _explore_as_usual(domain)) for name, domain in space.domains]


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


def _rebuild(kinds: Mapping[str, Any], data: Mapping[str, Any]) -> Domain:
    kind = kinds[data["type"]]
    fields = {field.name for field in dataclasses.fields(kind)} - {"explore"}
    given = {name: value for name, value in data.items() if name in fields}
    if given.get("start") is not None:
        given["start"] = tuple(given["start"])
    domain: Domain = kind(**given)
    return domain
