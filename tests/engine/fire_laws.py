"""What holds in every FIRE run without rounds, whoever ended a turn when."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from ramet.curves import binomial_test, dominates
from ramet.events import Annotated, AnyEvent, Copied, Explored, TurnEnded
from ramet.population import Member, Population
from ramet.replica import Replica
from ramet.strategies import FIRE

# What a member changed about itself at the end of a turn.
Changes = Sequence[AnyEvent]


def check(events: Sequence[AnyEvent], strategy: FIRE, *, alone: bool = True) -> None:
    """Check all laws; ``alone`` if no two members decided at the same time."""
    for population, id_, changes in decisions(events):
        member = population[id_]
        assert {getattr(change, "member", id_) for change in changes} <= {id_}
        copies = [change for change in changes if isinstance(change, Copied)]
        moves = [change for change in changes if isinstance(change, Explored)]
        assert len(copies) <= 1
        # Only who loses, or begins an evaluation, has other hyperparameters afterwards.
        assert len(moves) == sum(copy.kind != "success" for copy in copies)
        for copy in copies:
            check_copy(population, member, copy, changes, strategy)
        if alone:
            check_fitness(population, id_, changes)
            check_patience(population, member, changes, strategy)


def decisions(events: Sequence[AnyEvent]) -> Iterator[tuple[Population, int, Changes]]:
    """Yield the population when a turn has ended, the member, and what it changed."""
    replica = Replica()
    member, changes = None, list[AnyEvent]()
    for event in [*events, None]:
        if event is not None and not isinstance(event, TurnEnded):
            changes.append(event)
            continue
        if member is not None:
            yield replica.population, member, changes
        replica.fold(changes)
        if event is not None:
            member, changes = event.member, []
            replica.apply(event)


def check_copy(
    population: Population, member: Member, copy: Copied, changes: Changes, strategy: FIRE
) -> None:
    source = population[copy.source]
    notes = [change.data for change in changes if isinstance(change, Annotated)]
    assert copy.weights is not None
    assert copy.weights.checkpoint == source.checkpoint
    match copy.kind:
        case "exploit":
            # Hyperparameters never leave their sub-population, but for those of evaluators.
            assert member.group == source.group > 0
            assert copy.hparams is not None
            assert not population.is_finished(member.id)
        case "evaluation":
            begun = notes[-1]
            assert (member.group, copy.hparams) == (0, None)
            assert source.group > 1
            assert (begun["parent"], len(copy.weights.points)) == (source.id, 1)
            assert population[begun["target"]].group == source.group - 1
            assert not population.is_finished(begun["target"])
        case "success":
            # Weights move from one sub-population to the one before, and only by evaluators.
            assert (source.group, copy.hparams) == (0, None)
            assert source.data["target"] == member.id
            assert population[source.data["parent"]].group == member.group + 1
            [note] = notes
            success = note["successes"][-1]
            assert success["evaluator"] == source.id
            assert success["lead"] > 0
            assert success["p"] is None or success["p"] < strategy.p_stat
            assert copy.weights.points == source.curve.points()
        case other:
            pytest.fail(f"there is no copy of kind {other!r}")


def check_fitness(population: Population, id_: int, changes: Changes) -> None:
    """Only members of P2, P3, … that evaluators measure have one, and each has one evaluator."""
    notes = [m.data for m in population if m.group == 0 and m.data]
    measured = {each["parent"] for note in notes for each in (note, *note["measured"])}
    for change in changes:
        if isinstance(change, Annotated) and change.data.get("fitness") is not None:
            assert population[id_].group > 1
            assert id_ in measured
    parents = [m.data["parent"] for m in population if is_measuring(population, m)]
    assert len(parents) == len(set(parents))


def is_measuring(population: Population, member: Member) -> bool:
    """Say whether an evaluator trains on with weights that its parent has not lost."""
    note = member.data
    if member.group or not note or note["outcome"] or population.is_finished(member.id):
        return False
    rating = population[note["target"]].data or {}
    taken = [(each["evaluator"], each["since"]) for each in rating.get("successes", [])]
    lost = (population[note["parent"]].data or {}).get("lost")
    return (member.id, note["since"]) not in taken and (lost or 0) <= note["parent_trained"]


def check_patience(
    population: Population, evaluator: Member, changes: Changes, strategy: FIRE
) -> None:
    """An evaluation that has used up its time goes on only while it is ahead."""
    note = evaluator.data if evaluator.group == 0 else None
    if note is None or note["outcome"] or any(isinstance(change, Annotated) for change in changes):
        return
    if evaluator.trained - note["since"] > strategy.patience:
        curve, standard = (
            np.array(population[id_].curve.scores) for id_ in (evaluator.id, note["target"])
        )
        p = binomial_test(curve, standard)
        assert p <= strategy.p_stat if p is not None else dominates(curve, standard)
