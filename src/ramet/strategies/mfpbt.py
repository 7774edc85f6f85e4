"""PBT in sub-populations that decide at different intervals (MF-PBT, 2025, arXiv 2506.03225)."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from ramet.errors import StrategyError, StrategyWarning
from ramet.events import Birth
from ramet.frames import level_of_users
from ramet.population import Member, Population
from ramet.ranking import rank
from ramet.showing import list_fields
from ramet.space import Space
from ramet.strategies.base import (
    Action,
    Change,
    Copy,
    check_count,
    check_members,
    check_pace,
    sample_births,
    warn_if_single_turn,
)
from ramet.strategies.explore import (
    AnyExplore,
    Explorer,
    Perturb,
    check_explore,
    explorer_of,
    turns_to_remember,
)
from ramet.strategies.pace import fit_turn_steps, require_turn_steps

# A sub-population is ranked in quarters: donors, two that stay or take others in, and losers.
QUARTERS = 4
# How often the slowest sub-population decides in a budget, where turns are left to the budget.
SLOWEST_INTERVALS = 4


@dataclass(frozen=True, slots=True)
class MFPBT:
    """PBT in sub-populations, some of which decide less often than others.

    All members train a turn in each round. A sub-population with interval 10 decides after every
    tenth round only, so that its members are judged by what pays off over ten turns. When a
    sub-population decides, its worst quarter copies its best, member by member, and explores. In
    the quarter above the worst, members take the weights of better members of other
    sub-populations. From a sub-population that decides less often, a member takes the
    hyperparameters as well. From one that decides more often, it takes the weights only, with the
    hyperparameters of the best member of its own sub-population.

    A member that diverged does not wait: if its score is NaN, or its turn was lost, it is replaced
    after any round.

    Args:
        population: How many members train: a multiple of four for each interval.
        turn_steps: Steps in a turn, after which a round ends; None lets the slowest sub-population
            train for four intervals, so that it decides three times.
        intervals: How many rounds each sub-population trains between two decisions, ascending.
        explore: How copied hyperparameters move: Perturb, Resample, GaussianProcess, or a rule of
            yours.
        evaluate_every: Steps between two scores; None for one score a turn, at its end.
        initial: The hyperparameters of the first members of each sub-population; those of the
            others are drawn.

    >>> MFPBT(population=32).fit(20_000).turn_steps  # what a run with steps=20_000 does
    100
    >>> MFPBT(population=18, intervals=(1, 5, 10))
    Traceback (most recent call last):
        ...
    ramet.errors.StrategyError: population must be a multiple of 12, so that each of 3 \
sub-populations, one for each of intervals=(1, 5, 10), has four equal quarters, but got 18; use 12 \
or 24
    """

    _: KW_ONLY
    population: int
    turn_steps: int | None = None
    intervals: Sequence[int] = (1, 10, 25, 50)
    explore: AnyExplore = field(default_factory=lambda: Perturb((0.8, 1.25)))
    evaluate_every: int | None = None
    initial: Sequence[Mapping[str, Any]] = ()

    _repr_html_ = list_fields

    def __post_init__(self) -> None:
        check_pace(turn_steps=self.turn_steps, evaluate_every=self.evaluate_every)
        check_members(self.population, self.initial)
        check_explore(self.explore, "Perturb((0.8, 1.25))")
        self._check_intervals()
        smallest = QUARTERS * len(self.intervals)
        if self.population % smallest:
            below = self.population - self.population % smallest
            few = f"{below} or " if below else ""
            raise StrategyError(
                f"population must be a multiple of {smallest}, so that each of "
                f"{len(self.intervals)} sub-populations, one for each of "
                f"intervals={self.intervals}, has four equal quarters, but got "
                f"{self.population}; use {few}{below + smallest}"
            )

    @property
    def synchronous(self) -> bool:
        """Always true: intervals are counted in rounds."""
        return True

    @property
    def remember(self) -> int:
        """How many past turns of each member the rule for explore looks at."""
        return turns_to_remember(self.explore, self.population)

    @property
    def size(self) -> int:
        """How many members each sub-population has."""
        return self.population // len(self.intervals)

    def fit(self, steps: int) -> "MFPBT":
        """Return the strategy with ``turn_steps``, chosen for a budget if it has none.

        Args:
            steps: The budget of each member.
        """
        return fit_turn_steps(self, steps, turns=SLOWEST_INTERVALS * self.intervals[-1])

    def births(self, space: Space, steps: int, rng: np.random.Generator) -> list[Birth]:
        turn_steps = require_turn_steps(self.fit(steps))
        never = "no member will ever copy another or explore"
        warn_if_single_turn(self, turn_steps=turn_steps, steps=steps, never=never)
        self._warn_if_never_decided(turn_steps, steps)
        return [
            Birth(hparams=birth.hparams, group=group)
            for group, _ in enumerate(self.intervals, start=1)
            for birth in sample_births(space, self.size, rng, self.initial)
        ]

    def decide(
        self, population: Population, ready: Sequence[int], rng: np.random.Generator
    ) -> Iterator[Action]:
        """Decide about the sub-populations that are due, and about failed members."""
        if population.done:
            return
        explorer = explorer_of(self.explore, population)
        for group, interval in enumerate(self.intervals, start=1):
            quarters = Quarters.of([member for member in population if member.group == group])
            if (population.round + 1) % interval:
                yield from self._evolve(population, quarters.failed, quarters, explorer, rng)
            else:
                losers = [*quarters.losers, *quarters.failed]
                yield from self._evolve(population, losers, quarters, explorer, rng)
                yield from self._migrate(population, group, quarters)

    def _evolve(
        self,
        population: Population,
        losers: Sequence[int],
        quarters: "Quarters",
        explorer: Explorer,
        rng: np.random.Generator,
    ) -> Iterator[Action]:
        """Have losers copy the best quarter, rank by rank, and explore."""
        # If a whole sub-population has failed, it goes on from the best of the others.
        donors = quarters.donors or rank(population.members).ids()[-1:]
        if not donors:
            return
        for place, loser in enumerate(losers):
            donor = donors[place % len(donors)]
            yield Copy(member=loser, source=donor)
            yield Change(member=loser, hparams=explorer.move(loser, donor, rng))

    def _migrate(
        self, population: Population, group: int, quarters: "Quarters"
    ) -> Iterator[Action]:
        """Have the quarter above the losers take weights from better members elsewhere."""
        others = rank([member for member in population if member.group != group]).ids()
        for member in quarters.takers:
            if not others or not _is_better(population[others[-1]], population[member]):
                continue  # The next of them, which ranks lower, is compared with the same one.
            source = others.pop()
            slower = population[source].group > group
            yield Copy(member=member, source=source, hparams=slower, kind="migration")
            if not slower:
                best = quarters.donors[0]
                yield Change(member=member, hparams=population[best].hparams)

    def _check_intervals(self) -> None:
        if isinstance(self.intervals, list):
            object.__setattr__(self, "intervals", tuple(self.intervals))
        if not isinstance(self.intervals, tuple) or not self.intervals:
            raise StrategyError(
                f"intervals must be a list of numbers of rounds, one for each sub-population, such "
                f"as (1, 10, 25, 50), but got {self.intervals!r}"
            )
        for interval in self.intervals:
            check_count("an interval", interval, "rounds between two decisions")
        if any(later <= earlier for earlier, later in pairwise(self.intervals)):
            distinct = tuple(sorted(set(self.intervals)))
            raise StrategyError(
                f"intervals must ascend, because sub-populations differ in nothing else, but got "
                f"{self.intervals!r}; use {distinct}"
            )

    def _warn_if_never_decided(self, turn_steps: int, steps: int) -> None:
        """Warn about the sub-populations with an interval that the budget does not hold."""
        late = [interval for interval in self.intervals if interval * turn_steps >= steps]
        if not late or steps <= turn_steps:
            return
        rounds = -(-steps // turn_steps)
        warnings.warn(
            f"a budget must have more rounds than the longest interval, but {steps=} is {rounds} "
            f"rounds of {turn_steps=}, so that sub-populations with intervals={tuple(late)} never "
            f"decide; raise steps, lower turn_steps, or use shorter intervals",
            StrategyWarning,
            stacklevel=level_of_users(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarters:
    """A sub-population by rank, as ids, the best first. Members without a score are in none."""

    # The best quarter; the best member alone if that is less than one.
    donors: list[int]
    # The quarter above the losers.
    takers: list[int]
    # The worst quarter.
    losers: list[int]
    # The members with a score that is not finite, which are in no quarter but count as its worst.
    failed: list[int]

    @classmethod
    def of(cls, members: Sequence[Member]) -> "Quarters":
        """Return the quarters of a sub-population."""
        ranking = rank(members)
        failed = sorted(ranking.failed)
        ranked = ranking.ids()[::-1]
        quarter = (len(ranked) + len(failed)) // QUARTERS
        everybody = [*ranked, *failed]
        worst = len(everybody) - quarter
        finite = set(ranked)
        return cls(
            donors=ranked[: max(quarter, 1)],
            takers=[id_ for id_ in everybody[worst - quarter : worst] if id_ in finite],
            losers=[id_ for id_ in everybody[worst:] if id_ in finite],
            failed=failed,
        )


def _is_better(one: Member, other: Member) -> bool:
    return one.score is not None and other.score is not None and one.score > other.score
