"""What IPBT decides when a round ends: whether a turn ended too, who goes on, and what restarts."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec.structs import replace

from ramet.errors import StrategyError
from ramet.population import Member, Population
from ramet.randomness import pick
from ramet.ranking import rank
from ramet.space import Hparams
from ramet.strategies.base import Action, Annotate, Change, Copy, Rest
from ramet.strategies.beginnings import Founder, propose_beginnings
from ramet.strategies.exploit import part_of
from ramet.strategies.explore import AnyExplore, explorer_of
from ramet.strategies.stalling import can_restart, has_stalled, next_turn

# The part of the members that loses after a turn, and that is copied.
QUARTER = 0.25


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What IPBT keeps about a member."""

    # The place of the founder that it descends from, among those of the iteration.
    founder: int
    # The number of the turn that it begins with renewed weights; None if there is none.
    renews: int | None = None


class Iteration(msgspec.Struct, frozen=True, kw_only=True):
    """What IPBT keeps about the population: the present iteration, and the ones before."""

    # Its number, counted from 0.
    number: int
    # Rounds in a turn.
    interval: int
    # The number of rounds after which the present turn ends.
    due: int
    # The members that train.
    active: tuple[int, ...]
    # The members that began it.
    founders: tuple[Founder, ...]
    # Whether it is in its first turn, in which twice as many members train.
    trying: bool = True
    # The best score of each turn so far.
    bests: tuple[float, ...] = ()
    # The members that began the iterations before.
    before: tuple[Founder, ...] = ()


class IterationRound:
    """One round's decision. Members are named by their ids.

    Args:
        population: All members, as they are when the round ends.
        size: How many members train, except in the first turn of an iteration.
        rounds: The rounds of the budget.
        renew: Whether members that go on in the next iteration renew their weights.
        explore: How copied hyperparameters move.
        rng: Draw from this generator only.
    """

    def __init__(
        self,
        population: Population,
        *,
        size: int,
        rounds: int,
        renew: bool,
        explore: AnyExplore,
        rng: np.random.Generator,
    ) -> None:
        self.population, self.size, self.renew, self.rng = population, size, renew, rng
        # The rounds that ended, and those that are left.
        self.ended = population.round + 1
        self.left = rounds - self.ended
        self.explorer = explorer_of(explore, population)
        self.actions: list[Action] = []
        data = population.data
        self.now = self._begin() if data is None else msgspec.convert(data, Iteration)
        self.notes = {id_: read_note(population[id_]) for id_ in self.now.active}
        ranking = rank([population[id_] for id_ in self.now.active])
        # The active members with a finite score, best first, and those that failed.
        self.ranked, self.failed = ranking.ids()[::-1], sorted(ranking.failed)
        # How many of those lose after a turn, and how many are copied.
        self.part = min(part_of(len(self.now.active), QUARTER), len(self.ranked) // 2)

    def decide(self) -> list[Action]:
        """Return all actions."""
        active = self.now.active
        if self.ended >= self.now.due:
            active = self._end_turn()
        elif not self.now.trying:
            # In its first turn an iteration has members enough.
            self._evolve(self.failed)
        self.actions += [
            Rest(member=member.id)
            for member in self.population
            if member.id not in active and not self.population.is_finished(member.id)
        ]
        return self.actions

    def _end_turn(self) -> tuple[int, ...]:
        """Decide what follows a turn; return the members that train in the next."""
        self._count_turn()
        active = self.now.active
        if self._is_over():
            active = self._restart()
        elif self.now.trying:
            active = self._select()
        else:
            self._evolve([*self.ranked[len(self.ranked) - self.part :], *self.failed])
        due = self.ended + next_turn(self.left, self.now.interval)
        now = replace(self.now, active=active, due=due)
        self.actions.append(Annotate(member=None, data=msgspec.to_builtins(now)))
        return active

    def _begin(self) -> Iteration:
        """Return the first iteration, as it is in its first turn."""
        first = range(2 * self.size)
        founders = [Founder(hparams=self.population[id_].hparams, iteration=0) for id_ in first]
        return Iteration(number=0, interval=1, due=1, active=tuple(first), founders=tuple(founders))

    def _count_turn(self) -> None:
        """Keep the best score of the turn, and how far the descendants of each founder came."""
        founders, bests = list(self.now.founders), list(self.now.bests)
        for id_ in self.ranked:
            place, score = self.notes[id_].founder, _score(self.population[id_])
            best = founders[place].best
            if best is None or score > best:
                founders[place] = replace(founders[place], best=score)
        if self.ranked:
            bests.append(_score(self.population[self.ranked[0]]))
        self.now = replace(self.now, founders=tuple(founders), bests=tuple(bests))

    def _is_over(self) -> bool:
        """Return whether the next iteration begins: it has room, and this one has stalled."""
        reserve = len(self.population) // self.size - 2
        if self.now.number >= reserve or not can_restart(self.left, self.now.interval):
            return False
        # If all have failed, there is no member that they could copy.
        return len(self.failed) == len(self.now.active) or has_stalled(self.now.bests)

    def _evolve(self, losers: Sequence[int]) -> None:
        """Have members copy one of the best quarter, and explore."""
        top = self.ranked[: max(self.part, 1)]
        for loser in losers if top else ():
            donor = pick(top, self.rng)
            hparams = self.explorer.move(loser, donor, self.rng)
            self.actions += [
                Copy(member=loser, source=donor),
                Change(member=loser, hparams=hparams),
            ]
            self._annotate(loser, Note(founder=self.notes[donor].founder))

    def _select(self) -> tuple[int, ...]:
        """Have the better half go on, because the first turn of the iteration has ended."""
        others = [id_ for id_ in self.now.active if id_ not in self.ranked]
        # Those that reported no score may be as good as any; those that failed are the worst.
        others.sort(key=lambda id_: id_ in self.failed)
        self.now = replace(self.now, trying=False)
        return tuple(sorted([*self.ranked, *others][: self.size]))

    def _restart(self) -> tuple[int, ...]:
        """Begin the next iteration, with the members that have not failed and fresh ones."""
        number = self.now.number + 1
        fresh = range(self.size * (number + 1), self.size * (number + 2))
        active = (*(id_ for id_ in self.now.active if id_ not in self.failed), *fresh)
        before = (*self.now.before, *self.now.founders)
        values = self._draw_values(before, len(active))
        for place, (id_, hparams) in enumerate(zip(active, values, strict=True)):
            renews = self.population[id_].turn if self.renew and id_ not in fresh else None
            self.actions.append(Change(member=id_, hparams=hparams))
            self._annotate(id_, Note(founder=place, renews=renews))
        self.now = Iteration(
            number=number,
            interval=2 * self.now.interval,
            due=0,
            active=active,
            founders=tuple(Founder(hparams=each, iteration=number) for each in values),
            before=before,
        )
        return active

    def _draw_values(self, before: Sequence[Founder], count: int) -> list[Hparams]:
        """Return what members begin an iteration with: drawn and proposed by turns."""
        space = self.population.space
        proposed = propose_beginnings(space, before, self.rng)
        return [next(proposed) if place % 2 else space.sample(self.rng) for place in range(count)]

    def _annotate(self, member: int, note: Note) -> None:
        self.actions.append(Annotate(member=member, data=msgspec.to_builtins(note)))


def read_note(member: Member) -> Note:
    """Return what is kept about a member; those of the first iteration found it by their ids."""
    if member.data is None:
        return Note(founder=member.id)
    try:
        return msgspec.convert(member.data, Note)
    except msgspec.ValidationError as error:
        raise StrategyError(
            f"what IPBT keeps about a member must be what it wrote, but member {member.id} has "
            f"{member.data!r}: {error}; the log is damaged, or another strategy wrote it"
        ) from error


def _score(member: Member) -> float:
    score = member.score
    return -math.inf if score is None else score
