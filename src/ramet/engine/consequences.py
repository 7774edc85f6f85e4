"""What follows from a turn, in events: the one place where a strategy's actions are carried out."""

from collections.abc import Iterable, Iterator

import msgspec

from ramet.errors import StrategyError
from ramet.events import Annotated, AnyEvent, Copied, Explored, RoundEnded, Weights
from ramet.population import Member, Population
from ramet.randomness import Purpose, generator
from ramet.space import Hparams
from ramet.strategies.base import Action, Annotate, Change, Copy, Strategy


def consequences(
    strategy: Strategy, population: Population, member: int, *, seed: int
) -> list[AnyEvent]:
    """Return what follows from a member's having just ended a turn.

    In an asynchronous run it decides about itself. In a synchronous one nothing follows until the
    last arrives, who decides for all.
    """
    if not strategy.synchronous:
        rng = generator(seed, Purpose.DECISION, member, population[member].turn)
        return list(carried_out(population, strategy.decide(population, (member,), rng)))
    if population.arrived < len(population):
        return []
    rng = generator(seed, Purpose.ROUND, population.round)
    actions = strategy.decide(population, range(len(population)), rng)
    return [*carried_out(population, actions), RoundEnded(round=population.round)]


def carried_out(population: Population, actions: Iterable[Action]) -> Iterator[AnyEvent]:
    """Yield the event of each action, its sources as they are in the population."""
    for action in actions:
        match action:
            case Copy():
                yield _copied(action, population[action.source])
            case Change():
                hparams = _checked(population, action.member, action.hparams)
                yield Explored(member=action.member, hparams=hparams)
            case Annotate():
                # As the log will give it back, tuples being lists.
                data = msgspec.json.decode(msgspec.json.encode(action.data))
                yield Annotated(member=action.member, data=data)


def touched(events: Iterable[AnyEvent], population: Population) -> list[Member]:
    """Return the members that events were about, as a population has them."""
    ids = {id_ for event in events if (id_ := getattr(event, "member", None)) is not None}
    return [population[id_] for id_ in sorted(ids)]


def _copied(copy: Copy, source: Member) -> Copied:
    return Copied(
        member=copy.member,
        source=copy.source,
        kind=copy.kind,
        weights=_weights(copy, source) if copy.weights else None,
        hparams=source.hparams if copy.hparams else None,
    )


def _weights(copy: Copy, source: Member) -> Weights:
    if source.checkpoint is None:
        raise StrategyError(
            f"a strategy must copy weights from a member that has some, but member {source.id} has "
            f"not ended a turn"
        )
    points = source.curve.points()
    return Weights(checkpoint=source.checkpoint, points=points if copy.whole_curve else points[-1:])


def _checked(population: Population, member: int, hparams: Hparams) -> Hparams:
    if problem := population.space.problem(hparams):
        raise StrategyError(
            f"a strategy must keep hyperparameters in their space, but member {member} would get "
            f"values that are not: {problem}"
        )
    return hparams
