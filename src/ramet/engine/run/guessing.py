"""The turns of the next round, guessed from scores in a fraction of the time that a record takes.

While a device trains a round, everything that follows from it and needs no scores is prepared: how
each member stands then, and its next turn if the strategy leaves it alone. Once there are scores,
only the strategy has to decide, and only turns that it changes are made anew. Such a guess is
checked against the record once that is written.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from ramet.engine.run.claims import Claims
from ramet.engine.run.journal import Journal
from ramet.engine.run.turn import Turn
from ramet.errors import StrategyError
from ramet.events import Mode
from ramet.history.reported import maximise_points
from ramet.points import Curve, Point
from ramet.population import Checkpoint, Member, Population
from ramet.ranking import Members, Ranking
from ramet.strategies.base import Action, Annotate, Change, Copy

# In place of the digest of a state that has not been written yet.
UNWRITTEN = "unwritten"


class Foreseen(NamedTuple):
    """The turns that will be free next, and the population then.

    If they are guessed, it is the population before the strategy's decisions.
    """

    turns: list[Turn]
    population: Population


class _Prepared(NamedTuple):
    """What follows from turns that are being trained, but for their scores."""

    # The population before they end.
    before: Population
    # The members after they end, without the new scores.
    members: list[Member]
    # The turns that follow.
    turns: list[Turn]


class Guesses:
    """Guesses the next turns of a synchronous run in which all members train in each round."""

    def __init__(self, journal: Journal, claims: Claims) -> None:
        self._journal, self._claims = journal, claims
        self._prepared: _Prepared | None = None
        # What the last guess was made from.
        self._used: _Prepared | None = None
        # Whether all guesses were right so far.
        self._right = True
        # Whether the turns that were foreseen last were guessed.
        self._guessed = False

    def stop_if_wrong(self) -> None:
        """Guess no more if the turns that did not come were guessed.

        The strategy looks at something that a guess leaves out, or another worker takes part.
        """
        self._right = self._right and not self._guessed

    def prepare(self, turns: Sequence[Turn]) -> None:
        """Prepare for the end of turns, while they are trained.

        Args:
            turns: Turns that are out, as ``claim`` returned them.
        """
        self._prepared = self._used = None
        if not self._right or not self._journal.plain or not self._journal.synchronous:
            return
        before = self._journal.population
        if [turn.member for turn in turns] != list(range(len(before))) or not _is_simple(before):
            return
        members = [_go_on(before[turn.member], turn) for turn in turns]
        if any(member.trained >= before.steps for member in members):
            return
        leases = [replace(turn.lease, token=0) for turn in turns]
        following = self._claims.make_turns(zip(members, leases, strict=True))
        self._prepared = _Prepared(before, members, following)

    def guess(
        self, turns: Sequence[Turn], scores: Sequence[Sequence[tuple[int, float]]]
    ) -> Foreseen | None:
        """Return the turns that follow; None if that takes more than a guess.

        Args:
            turns: Turns that were trained.
            scores: The scores of each as (step, score) pairs.
        """
        # It is kept a while longer: deleting it here would take a part of the time that it saves.
        self._used, self._prepared = self._prepared, None
        prepared, self._guessed = self._used, False
        # Another worker may have written something meanwhile, such as that the run is to stop.
        if prepared is None or self._journal.population is not prepared.before:
            return None
        if len(turns) != len(prepared.turns):
            return None
        mode = self._journal.opening.mode
        members = [
            replace(member, curve=_extend(member.curve, its, mode))
            for member, its in zip(prepared.members, scores, strict=True)
        ]
        population = replace(
            prepared.before,
            members=_rank(members),
            turns=prepared.before.turns + len(turns),
            arrived=len(members),
            confirmation=None,
        )
        try:
            changed = _follow(population, self._journal.decide(population))
        except StrategyError:
            # It may be because of what a guess leaves out. If not, it is raised again.
            self._right = False
            return None
        if changed is None:
            return None
        leased = [(member, prepared.turns[member.id].lease) for member in changed.values()]
        following = list(prepared.turns)
        for turn in self._claims.make_turns(leased):
            following[turn.member] = turn
        self._guessed = True
        return Foreseen(following, population)


def unwritten(turn: Turn) -> Checkpoint:
    """Return what stands for the checkpoint of a turn that is not written yet."""
    return Checkpoint(member=turn.member, turn=turn.number, step=turn.stop, digest=UNWRITTEN)


def _is_simple(population: Population) -> bool:
    """Say whether members stand after a turn as ``_go_on`` says, and the run goes on."""
    return (
        population.target is None
        and not population.goals
        and not population.remember
        and not population.stopped
        and not population.stop_asked
    )


def _go_on(member: Member, turn: Turn) -> Member:
    """Return a member as it will be after a turn, but for the scores."""
    return replace(
        member,
        turn=turn.number + 1,
        trained=turn.trained + turn.steps,
        step=turn.stop,
        checkpoint=unwritten(turn),
        untried=False,
        lost=False,
        attempts=0,
        failing=0,
    )


def _rank(members: Sequence[Member]) -> Members:
    """Return members that have all just ended a turn, with their ranking."""
    ranked = Members(members)
    ranked.ranking = Ranking.after_turns([member.curve.scores[-1] for member in members])
    return ranked


def _extend(curve: Curve, scores: Sequence[tuple[int, float]], mode: Mode) -> Curve:
    """Return a curve with the scores of a turn at its end, as the run maximises them."""
    if len(scores) == 1 and mode == "max":
        [(step, score)] = scores
        if math.isfinite(score):
            return Curve((*curve.steps, step), (*curve.scores, score))
    return curve.extend(maximise_points(as_points(scores), mode))


def as_points(scores: Sequence[tuple[int, float]]) -> tuple[Point, ...]:
    """Return scores as events have them: None where one is not finite."""
    return tuple([(step, score if math.isfinite(score) else None) for step, score in scores])


def _follow(population: Population, actions: Sequence[Action]) -> Mapping[int, Member] | None:
    """Return the members that actions change, so far as their next turns depend on it."""
    names, everybody = population.space.declared.domains.keys(), range(len(population))
    changed: dict[int, Member] = {}
    for action in actions:
        match action:
            case Copy() if action.member in everybody and action.source in everybody:
                member = changed.get(action.member, population[action.member])
                source = population[action.source]
                kept = source.checkpoint if action.weights else member.checkpoint
                changed[member.id] = replace(
                    member,
                    checkpoint=kept,
                    step=0 if kept is None else kept.step,
                    hparams=source.hparams if action.hparams else member.hparams,
                )
            case Change() if action.member in everybody and action.hparams.keys() == names:
                member = changed.get(action.member, population[action.member])
                changed[member.id] = replace(member, hparams=dict(action.hparams))
            case Annotate():
                pass
            case _:
                return None
    return changed
