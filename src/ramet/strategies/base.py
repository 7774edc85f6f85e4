"""What a strategy is: a frozen value that looks at a population and says what should change."""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import msgspec
import numpy as np

from ramet.errors import SpaceError, StrategyError, StrategyWarning
from ramet.events import Birth
from ramet.frames import level_of_users
from ramet.population import Member, Population
from ramet.randomness import Draws
from ramet.space import Hparams, Space


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """Take another member's weights, hyperparameters or both, as the population seen has them."""

    member: int
    source: int
    weights: bool = True
    hparams: bool = True
    # Whether the member's new curve is the source's whole, or begins with its last point.
    whole_curve: bool = False
    # What kind of lineage edge this is.
    kind: str = "exploit"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Give a member these hyperparameters."""

    member: int
    hparams: Hparams


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """Have a member not train in the round that begins, whose steps it spends all the same."""

    member: int


class Annotate(msgspec.Struct, frozen=True, kw_only=True):
    """Keep something of the strategy's own on a member or, with None, on the population."""

    member: int | None
    data: Any


Action: TypeAlias = Copy | Change | Rest | Annotate


@runtime_checkable
class Strategy(Protocol):
    """What an engine asks of a strategy: answers that depend on nothing but the arguments."""

    @property
    def turn_steps(self) -> int | None:
        """Steps in a turn; None leaves them to ``fit(steps)``, which then must be there."""
        ...

    @property
    def evaluate_every(self) -> int | None:
        """Steps between two scores, or None for one score a turn, at its end."""
        ...

    @property
    def synchronous(self) -> bool:
        """Whether all members decide together, at a round's end."""
        ...

    def births(self, space: Space, steps: int, rng: np.random.Generator, /) -> Sequence[Birth]:
        """Return what each member starts with."""
        ...

    def decide(
        self, population: Population, ready: Sequence[int], rng: np.random.Generator, /
    ) -> Iterable[Action]:
        """Return what should change for the members that just ended a turn.

        Actions apply in order; every copy's source is as it was in ``population``.
        """
        ...


class Prescribed(NamedTuple):
    """A turn that is settled beforehand."""

    steps: int
    draws: Draws


@runtime_checkable
class Prescribing(Protocol):
    """A strategy that knows beforehand how long a turn is, and what it draws by."""

    def prescribe(self, member: Member) -> Prescribed:
        """Return a member's next turn."""
        ...


@runtime_checkable
class NeedsScores(Protocol):
    """A strategy that may refuse turns that report no score."""

    @property
    def needs_scores(self) -> bool:
        """Whether a turn must have a finite score or NaN wherever one is due, and never None."""
        ...


@runtime_checkable
class ChecksBudget(Protocol):
    """A strategy that may refuse more steps for members that have begun."""

    def check_budget(self, population: Population, /) -> None:
        """Raise if these members cannot be trained to ``population.steps``."""
        ...


def check_count(name: str, value: object, meaning: str, *, least: int = 1) -> None:
    """Refuse what is not a whole number of at least so many."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise StrategyError(
            f"{name} must be a whole number, at least {least}, but got {value!r}; it is {meaning}"
        )


def check_rule(name: str, value: object, method: str, example: str) -> None:
    """Refuse what is not a rule: a class in place of a value, a name, another kind of rule."""
    if isinstance(value, type) or not callable(getattr(value, method, None)):
        raise StrategyError(f"{name} must be a rule such as {example}, but got {value!r}")


def check_points(name: str, points: object) -> None:
    """Refuse what is not a list of points, each a mapping of names to values."""
    if not isinstance(points, list | tuple) or not all(isinstance(p, Mapping) for p in points):
        raise StrategyError(
            f"{name} must be a list of points, such as [{{'lr': 0.1}}], but got {points!r}"
        )


def check_pace(*, turn_steps: int | None, evaluate_every: int | None) -> None:
    """Refuse a turn without steps, or one that its evaluations do not divide."""
    if turn_steps is not None:
        meaning = "how many steps a member trains between two decisions"
        check_count("turn_steps", turn_steps, meaning)
    if evaluate_every is None:
        return
    check_count("evaluate_every", evaluate_every, "how many steps lie between two scores")
    if turn_steps is not None and turn_steps % evaluate_every:
        below = turn_steps - turn_steps % evaluate_every
        raise StrategyError(
            f"evaluate_every must divide turn_steps, so that every turn ends with a score, but got "
            f"({turn_steps=}, {evaluate_every=}); turn_steps={below + evaluate_every} would do"
        )


def warn_if_single_turn(strategy: object, *, turn_steps: int, steps: int, never: str) -> None:
    """Warn if a budget has no turn after the first: decisions take effect between turns only."""
    if steps > turn_steps:
        return
    warnings.warn(
        f"a budget must have two turns or more for {type(strategy).__name__} to change anything, "
        f"but {steps=} is one turn of {turn_steps=}: {never}; raise steps, or lower turn_steps",
        StrategyWarning,
        stacklevel=level_of_users(),
    )


def warn_if_never_compared(
    rule: object, *, scores: int, turn_steps: int, evaluate_every: int | None, steps: int
) -> None:
    """Warn if members have as many scores as a rule needs only when their budget is spent."""
    turns = math.ceil(scores / (turn_steps // (evaluate_every or turn_steps)))
    if not turn_steps < steps <= turns * turn_steps:
        return
    warnings.warn(
        f"a budget must have a turn after members have the {scores} scores that "
        f"{type(rule).__name__} needs to compare them, but with ({turn_steps=}, {evaluate_every=}) "
        f"they have these after step {turns * turn_steps:,}, and {steps=}: only members without a "
        f"finite score will ever copy another; raise steps, or lower turn_steps or evaluate_every",
        StrategyWarning,
        stacklevel=level_of_users(),
    )


def check_members(population: int, initial: object) -> None:
    """Refuse a population without members, or starting points that are none."""
    check_count("population", population, "how many members train")
    check_points("initial", initial)


def sample_births(
    space: Space,
    population: int,
    rng: np.random.Generator,
    initial: Sequence[Mapping[str, Any]] = (),
) -> list[Birth]:
    """Return members at the given starting points first, then at points drawn from the space."""
    if len(initial) > population:
        raise SpaceError(
            f"a population must have a member for every starting point, but got {len(initial)} "
            f"points for {population=}"
        )
    given = [Birth(hparams=space.adopt(point, "a starting point")) for point in initial]
    return given + [Birth(hparams=space.sample(rng)) for _ in range(population - len(given))]
