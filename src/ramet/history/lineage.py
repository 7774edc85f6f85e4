"""Where weights come from: the turns and copies behind a checkpoint."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ramet.events import AnyEvent, Copied, Explored, RunOpened, TurnEnded
from ramet.population import Checkpoint, Point
from ramet.space import Hparams


class Stretch(NamedTuple):
    """A turn in the lineage: the steps it added, what with, and the checkpoint it began from."""

    start: int
    stop: int
    hparams: Hparams
    origin: Checkpoint | None


def stretches_behind(checkpoint: Checkpoint, events: Iterable[AnyEvent]) -> Iterator[Stretch]:
    """Yield the turns that made a checkpoint's weights, the last one first."""
    stretches = _stretches(events)
    origin: Checkpoint | None = checkpoint
    while origin is not None:
        stretch = stretches[origin.member, origin.turn]
        yield stretch
        origin = stretch.origin


def ancestors(checkpoint: Checkpoint, events: Iterable[AnyEvent]) -> Iterator[Checkpoint]:
    """Yield the checkpoints that a checkpoint's weights went through, the latest first."""
    return (stretch.origin for stretch in stretches_behind(checkpoint, events) if stretch.origin)


def points_behind(checkpoint: Checkpoint, events: Iterable[AnyEvent]) -> tuple[Point, ...]:
    """Return the last score of the turn that left a checkpoint."""
    for event in events:
        if isinstance(event, TurnEnded) and event.checkpoint == checkpoint:
            return event.points[-1:]
    return ()


def _stretches(events: Iterable[AnyEvent]) -> dict[tuple[int, int], Stretch]:
    hparams: dict[int, Hparams] = {}
    origins: dict[int, Checkpoint | None] = {}
    stretches: dict[tuple[int, int], Stretch] = {}
    for event in events:
        match event:
            case RunOpened():
                hparams.update((id_, birth.hparams) for id_, birth in enumerate(event.births))
            case TurnEnded(member=member):
                origin = origins.get(member)
                start = origin.step if origin else 0
                stretches[member, event.turn] = Stretch(start, event.step, hparams[member], origin)
                origins[member] = event.checkpoint
            case Copied(member=member):
                if event.weights is not None:
                    origins[member] = event.weights.checkpoint
                if event.hparams is not None:
                    hparams[member] = event.hparams
            case Explored(member=member):
                hparams[member] = event.hparams
    return stretches
