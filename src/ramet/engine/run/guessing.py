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
from ramet.space import Hparams
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
    # The steps of their curves then, if each turn has one score.
    steps: list[tuple[int, ...]]
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
        steps = [(*member.curve.steps, member.step) for member in members]
        self._prepared = _Prepared(before, members, steps, following)

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
        members = _add_scores(prepared, scores, self._journal.opening.mode)
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


def _add_scores(
    prepared: _Prepared, scores: Sequence[Sequence[tuple[int, float]]], mode: Mode
) -> list[Member]:
    """Return members with the scores of their turns, as the run maximises them."""
    finite = mode == "max" and all(len(its) == 1 and math.isfinite(its[0][1]) for its in scores)
    if not finite:
        return [
            replace(member, curve=member.curve.extend(maximise_points(as_points(its), mode)))
            for member, its in zip(prepared.members, scores, strict=True)
        ]
    return [
        replace(member, curve=Curve(steps, (*member.curve.scores, score)))
        for member, steps, [(_, score)] in zip(
            prepared.members, prepared.steps, scores, strict=True
        )
    ]


def as_points(scores: Sequence[tuple[int, float]]) -> tuple[Point, ...]:
    """Return scores as events have them: None where one is not finite."""
    return tuple([(step, score if math.isfinite(score) else None) for step, score in scores])


def _follow(population: Population, actions: Sequence[Action]) -> Mapping[int, Member] | None:
    """Return the members that actions change, so far as their next turns depend on it."""
    names, everybody = population.space.declared.domains.keys(), range(len(population))
    members = population.members
    kept: dict[int, Checkpoint | None] = {}
    hparams: dict[int, Hparams] = {}
    for action in actions:
        match action:
            case Copy() if action.member in everybody and action.source in everybody:
                source = members[action.source]
                if action.weights:
                    kept[action.member] = source.checkpoint
                if action.hparams:
                    hparams[action.member] = source.hparams
            case Change() if action.member in everybody and action.hparams.keys() == names:
                hparams[action.member] = dict(action.hparams)
            case Annotate():
                pass
            case _:
                return None
    return {id_: _change(members[id_], kept, hparams) for id_ in {**kept, **hparams}}


def _change(
    member: Member, kept: Mapping[int, Checkpoint | None], hparams: Mapping[int, Hparams]
) -> Member:
    checkpoint = kept.get(member.id, member.checkpoint)
    return replace(
        member,
        checkpoint=checkpoint,
        step=0 if checkpoint is None else checkpoint.step,
        hparams=hparams.get(member.id, member.hparams),
    )
