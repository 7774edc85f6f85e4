"""What a strategy is: a frozen value that decides what to change about a population."""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import msgspec
import numpy as np

from ramet.errors import SpaceError, StrategyError, StrategyWarning
from ramet.events import Birth
from ramet.frames import level_of_users
from ramet.goals import Goal
from ramet.population import Member, Population
from ramet.randomness import Draws
from ramet.space import Hparams, Space


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """Copy another member's weights, hyperparameters or both, as they are when decisions begin."""

    # The id of the member that takes them.
    member: int
    # The id of the member that they are from.
    source: int
    # Whether it takes the weights.
    weights: bool = True
    # Whether it takes the hyperparameters.
    hparams: bool = True
    # Whether it takes the source's whole curve, or only the last point.
    whole_curve: bool = False
    # Why: a word for lineages and pictures.
    kind: str = "exploit"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Set a member's hyperparameters."""

    # The member's id.
    member: int
    hparams: Hparams


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """Let a member rest in the next round. The round's steps still count towards its budget."""

    # The member's id.
    member: int


class Annotate(msgspec.Struct, frozen=True, kw_only=True):
    """Keep data of the strategy's own about a member or the population."""

    # The member's id; None is the population.
    member: int | None
    # Plain data. ``Member.data`` and ``Population.data`` return it.
    data: Any


# What a strategy may do.
Action: TypeAlias = Copy | Change | Rest | Annotate


@runtime_checkable
class Strategy(Protocol):
    """What a strategy must have. Its methods depend on nothing but their arguments."""

    @property
    def turn_steps(self) -> int | None:
        """Steps in a turn; None needs a method ``fit(steps)``, which chooses them."""
        ...

    @property
    def evaluate_every(self) -> int | None:
        """Steps between two scores, or None for one score a turn, at its end."""
        ...

    @property
    def synchronous(self) -> bool:
        """Whether the strategy decides about all members together, at the end of a round."""
        ...

    def births(self, space: Space, steps: int, rng: np.random.Generator, /) -> Sequence[Birth]:
        """Return what each member starts with.

        Args:
            space: The space of the hyperparameters.
            steps: The budget of each member.
            rng: Draw from this generator only.
        """
        ...

    def decide(
        self, population: Population, ready: Sequence[int], rng: np.random.Generator, /
    ) -> Iterable[Action]:
        """Return what to change about the members that have just ended a turn.

        Actions apply in order. A copy takes its source as it is in ``population``.

        Args:
            population: All members, as they are now. Higher scores are better.
            ready: The ids of the members that have ended a turn. Actions may be about these only,
                but they may copy any member.
            rng: Draw from this generator only.
        """
        ...


class Prescribed(NamedTuple):
    """A turn with a length and draws that are known beforehand."""

    steps: int
    draws: Draws


@runtime_checkable
class Prescribing(Protocol):
    """A strategy that chooses the length and the draws of each turn."""

    def prescribe(self, member: Member) -> Prescribed:
        """Return a member's next turn."""
        ...


@runtime_checkable
class Renewing(Protocol):
    """A strategy that may have members begin a turn with renewed weights."""

    def renews(self, member: Member) -> bool:
        """Return whether a member begins its next turn with renewed weights."""
        ...


@runtime_checkable
class NeedsScores(Protocol):
    """A strategy that may refuse turns that report no score."""

    @property
    def needs_scores(self) -> bool:
        """Whether a turn must have a finite score or NaN wherever one is due, and never None."""
        ...


@runtime_checkable
class Remembers(Protocol):
    """A strategy that looks at past turns."""

    @property
    def remember(self) -> int:
        """How many past turns of each member ``Member.past`` must have."""
        ...


@runtime_checkable
class HasGoals(Protocol):
    """A strategy that compares members by metrics as well."""

    @property
    def goals(self) -> Sequence[Goal]:
        """What it wants of metrics and the score, which turns must then report."""
        ...


@runtime_checkable
class ChecksBudget(Protocol):
    """A strategy that may refuse to extend the budget of a run."""

    def check_budget(self, population: Population, /) -> None:
        """Raise if these members cannot train on to ``population.steps``."""
        ...


def check_count(name: str, value: object, meaning: str, *, least: int = 1) -> None:
    """Refuse what is not a whole number, or less than ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise StrategyError(
            f"{name} must be a whole number, at least {least}, but got {value!r}; it is {meaning}"
        )


def check_rule(name: str, value: object, method: str, example: str) -> None:
    """Refuse what is not a rule: a class instead of a value, a name, or another kind of rule."""
    if isinstance(value, type) or not callable(getattr(value, method, None)):
        raise StrategyError(f"{name} must be a rule such as {example}, but got {value!r}")


def check_points(name: str, points: object) -> None:
    """Refuse what is not a list of points, each a mapping of names to values."""
    if not isinstance(points, list | tuple) or not all(isinstance(p, Mapping) for p in points):
        raise StrategyError(
            f"{name} must be a list of points, such as [{{'lr': 0.1}}], but got {points!r}"
        )


def check_pace(*, turn_steps: int | None, evaluate_every: int | None) -> None:
    """Refuse a turn without steps, and scores that do not divide a turn."""
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
    """Warn if a budget is a single turn: decisions take effect only between turns."""
    if steps > turn_steps:
        return
    every: int | None = getattr(strategy, "evaluate_every", None)
    divisor = "" if every is None else f" and evaluate_every={every}, which divides it"
    warnings.warn(
        f"a budget must have two turns or more for {type(strategy).__name__} to change anything, "
        f"but {steps=} is one turn of {turn_steps=}: {never}; raise steps, or lower "
        f"turn_steps{divisor}",
        StrategyWarning,
        stacklevel=level_of_users(),
    )


def warn_if_never_compared(
    rule: object, *, scores: int, turn_steps: int, evaluate_every: int | None, steps: int
) -> None:
    """Warn if members do not have enough scores for a rule until their budget is used up."""
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
    """Refuse a population without members, and starting points that are not points."""
    check_count("population", population, "how many members train")
    check_points("initial", initial)


def sample_births(
    space: Space,
    population: int,
    rng: np.random.Generator,
    initial: Sequence[Mapping[str, Any]] = (),
) -> list[Birth]:
    """Return members at the starting points, and after them members at points that are drawn."""
    if len(initial) > population:
        raise SpaceError(
            f"a population must have a member for every starting point, but got {len(initial)} "
            f"points for {population=}"
        )
    given = [Birth(hparams=space.adopt(point, "a starting point")) for point in initial]
    return given + [Birth(hparams=space.sample(rng)) for _ in range(population - len(given))]
