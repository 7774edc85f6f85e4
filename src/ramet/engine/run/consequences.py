"""What follows from a turn, as events: only here are a strategy's actions carried out."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from ramet.errors import RametError, StrategyError
from ramet.events import Annotated, AnyEvent, Copied, Explored, Rested, RoundEnded, Stopped, Weights
from ramet.population import Member, Population
from ramet.randomness import Purpose, generator
from ramet.replica import Replica
from ramet.strategies.base import Action, Annotate, Change, Copy, Rest, Strategy
from ramet.strategies.pace import require_turn_steps


def consequences(strategy: Strategy, replica: Replica, member: int, *, seed: int) -> list[AnyEvent]:
    """Return the events that follow after a member has ended a turn.

    In an asynchronous run the member decides about itself. In a synchronous run it was the last of
    its round, and all are decided about.
    """
    if not strategy.synchronous:
        rng = generator(seed, Purpose.DECISION, member, replica.members[member].turn)
        actions = decide(strategy, replica.population, (member,), rng)
        return carry_out(strategy, replica.population, (member,), actions)
    round_, population = replica.round, replica.population
    actions = decide_round(strategy, population, seed=seed)
    follows = carry_out(strategy, population, range(len(population)), actions)
    # Decisions belong to the round that ends, rests to the round that begins.
    rests = [event for event in follows if isinstance(event, Rested)]
    decided = [event for event in follows if not isinstance(event, Rested)]
    return [*decided, RoundEnded(round=round_), *rests]


def decide_round(strategy: Strategy, population: Population, *, seed: int) -> list[Action]:
    """Return what a strategy decides when a round of a synchronous run ends."""
    rng = generator(seed, Purpose.ROUND, population.round)
    return decide(strategy, population, range(len(population)), rng)


def early_end(replica: Replica) -> list[AnyEvent]:
    """Return the event that stops the run before its budget, if it must stop."""
    if replica.stopped:
        return []
    if replica.stop_asked:
        return [Stopped(why="loop")]
    return [Stopped(why="target")] if replica.at_target else []


def carry_out(
    strategy: Strategy, population: Population, ready: Sequence[int], actions: Sequence[Action]
) -> list[AnyEvent]:
    """Return an event for each action of a strategy, with sources as they are in the population."""
    _check_rests(strategy, population, [action for action in actions if isinstance(action, Rest)])
    return [_make_event(strategy, population, action, ready) for action in actions]


def decide(
    strategy: Strategy, population: Population, ready: Sequence[int], rng: np.random.Generator
) -> list[Action]:
    """Return a strategy's decision; blame what it raises on the strategy, not on the training."""
    try:
        return list(strategy.decide(population, ready, rng))
    except RametError:
        raise
    except Exception as error:
        raise StrategyError(
            f"a strategy must decide whatever the scores, but {type(strategy).__name__} raised for "
            f"members {list(ready)}: {error!r}; a score is None before the first, and NaN where it "
            f"was not finite"
        ) from error


def _make_event(
    strategy: Strategy, population: Population, action: Action, ready: Sequence[int]
) -> AnyEvent:
    match action:
        case Copy():
            _check_member(action.member, ready)
            _check_member(action.source, range(len(population)))
            return _make_copied(action, population[action.source])
        case Change():
            _check_member(action.member, ready)
            what = f"the values that a strategy gives member {action.member}"
            hparams = population.space.adopt(action.hparams, what)
            return Explored(member=action.member, hparams=hparams)
        case Rest():
            _check_member(action.member, ready)
            steps = require_turn_steps(strategy)
            return _make_rested(population[action.member], population.steps, steps)
        case Annotate():
            if action.member is not None:
                _check_member(action.member, ready)
            return Annotated(member=action.member, data=as_logged(action.data))
        case _:
            raise StrategyError(
                f"a strategy's actions must be Copy, Change, Rest or Annotate, but got {action!r}"
            )


def _make_copied(copy: Copy, source: Member) -> Copied:
    return Copied(
        member=copy.member,
        source=copy.source,
        kind=copy.kind,
        weights=_weights(copy, source) if copy.weights else None,
        hparams=source.hparams if copy.hparams else None,
    )


def _make_rested(member: Member, steps: int, turn_steps: int) -> Rested:
    trained = member.trained + min(turn_steps, steps - member.trained)
    return Rested(member=member.id, turn=member.turn, trained=trained)


def _weights(copy: Copy, source: Member) -> Weights:
    if source.checkpoint is None:
        raise StrategyError(
            f"a strategy must copy weights from a member that has some, but member {source.id} has "
            f"not ended a turn"
        )
    curve = source.curve if copy.whole_curve else source.curve.last()
    return Weights(checkpoint=source.checkpoint, points=curve.points())


def _check_rests(strategy: Strategy, population: Population, rests: Sequence[Rest]) -> None:
    """Refuse rests in an asynchronous run, repeated rests, and rounds that no member trains in."""
    if not rests:
        return
    resting = [rest.member for rest in rests]
    name = type(strategy).__name__
    if not strategy.synchronous:
        raise StrategyError(
            f"members may rest only in synchronous runs, which have rounds, but {name} has members "
            f"{resting} rest in an asynchronous one"
        )
    if len(set(resting)) < len(resting) or any(map(population.is_finished, resting)):
        raise StrategyError(
            f"a member may rest once a round, while it has budget left, but {name} has members "
            f"{resting} rest"
        )
    if all(id_ in resting for id_ in range(len(population)) if not population.is_finished(id_)):
        raise StrategyError(
            f"at least one member must train in each round, but {name} has all rest: {resting}"
        )


def _check_member(member: int, allowed: Sequence[int]) -> None:
    """Refuse a member that does not exist, or that is still training."""
    if type(member) is not int or member not in allowed:
        raise StrategyError(
            f"a strategy may act on the members that are ready, and copy any, but of "
            f"{list(allowed)} it chose {member!r}; in an asynchronous run each decides about itself"
        )


def as_logged(data: Any) -> Any:
    """Return data as the log will return it, with tuples as lists."""
    try:
        return msgspec.json.decode(msgspec.json.encode(data))
    except (TypeError, ValueError) as error:
        raise StrategyError(f"a strategy's notes must be plain data, but {error}") from error
