"""The hyperparameter schedule behind a checkpoint: what its weights were really trained with."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from ramet.domains import Value
from ramet.events import AnyEvent
from ramet.history.lineage import stretches_behind
from ramet.population import Checkpoint
from ramet.space import Hparams


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of steps trained with the same values: ``start`` up to, not including, ``stop``."""

    start: int
    stop: int
    hparams: Hparams


class Schedule(msgspec.Struct, frozen=True):
    """Pieces, one behind the other, from step 0.

    >>> schedule = Schedule((
    ...     Piece(start=0, stop=10, hparams={"lr": 0.4}),
    ...     Piece(start=10, stop=30, hparams={"lr": 0.2}),
    ... ))
    >>> list(schedule)
    [(0, {'lr': 0.4}), (10, {'lr': 0.2})]
    >>> schedule(12)
    {'lr': 0.2}
    """

    pieces: tuple[Piece, ...]

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        return ((piece.start, dict(piece.hparams)) for piece in self.pieces)

    def __len__(self) -> int:
        return len(self.pieces)

    def __str__(self) -> str:
        """Return a line for each piece.

        >>> print(Schedule((Piece(start=0, stop=10, hparams={"lr": 0.4, "kind": "flip"}),)))
        steps 0 to 10: lr=0.4 kind=flip
        """
        return "\n".join(
            f"steps {piece.start:,} to {piece.stop:,}: "
            + " ".join(f"{name}={_shown(value)}" for name, value in piece.hparams.items())
            for piece in self.pieces
        )

    def __call__(self, step: int) -> dict[str, Any]:
        """Return the values that the update number ``step``, counted from 0, is made with."""
        for piece in reversed(self.pieces):
            if step >= piece.start:
                return dict(piece.hparams)
        return dict(self.pieces[0].hparams)


def _shown(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def schedule_behind(checkpoint: Checkpoint, events: Iterable[AnyEvent]) -> Schedule:
    """Trace a checkpoint back to step 0 through every copy of weights on its lineage."""
    pieces: list[Piece] = []
    for stretch in stretches_behind(checkpoint, events):
        if pieces and pieces[-1].hparams == stretch.hparams:
            pieces[-1] = Piece(start=stretch.start, stop=pieces[-1].stop, hparams=stretch.hparams)
        else:
            pieces.append(Piece(start=stretch.start, stop=stretch.stop, hparams=stretch.hparams))
    return Schedule(tuple(reversed(pieces)))
