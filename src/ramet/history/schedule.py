"""The schedule behind a checkpoint: the hyperparameters that its weights were trained with."""

import math
from collections.abc import Sequence

from ramet.events import RunOpened
from ramet.history.lineage import Lineage
from ramet.history.turns import Trained
from ramet.population import Checkpoint
from ramet.schedule import Leg, Piece, Schedule, Source
from ramet.space import same
from ramet.strategies import Replay
from ramet.strategies.controlled import deciding


def schedule_behind(checkpoint: Checkpoint, lineage: Lineage) -> Schedule:
    """Trace a checkpoint back to step 0 through every copy of weights on its lineage."""
    behind = lineage.behind(checkpoint)
    return Schedule(
        pieces=_pieces(behind),
        space=lineage.opening.space,
        source=_source(lineage.opening, behind),
    )


def _pieces(behind: Sequence[Trained]) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    for turn in behind:
        start = turn.start
        if pieces and same(pieces[-1].hparams, turn.hparams):
            start = pieces.pop().start
        pieces.append(Piece(start=start, stop=turn.stop, hparams=turn.hparams))
    return tuple(pieces)


def _source(opening: RunOpened, behind: Sequence[Trained]) -> Source:
    return Source(
        run=opening.name,
        seed=opening.seed,
        mode=opening.mode,
        score=behind[-1].score,
        turn_steps=opening.turn_steps,
        evaluate_every=_every(opening, behind),
        # A replay uses random draws of its original, so a schedule of it has none of its own.
        legs=() if opening.strategy.get("type") == Replay.__name__ else _legs(behind),
        # Weights that were fresh at a turn's start were not renewed.
        renewed=tuple(turn.start for turn in behind if turn.renewed and turn.start),
    )


def _every(opening: RunOpened, behind: Sequence[Trained]) -> int | None:
    """Return the steps between two scores; None if scores are due at the ends of turns only."""
    match deciding(opening.strategy):
        case {"evaluate_every": None}:
            return None
        case {"evaluate_every": int(every)} if every > 0 and opening.turn_steps % every == 0:
            return every
    # Other strategies do not record it, and turns may lack some scores.
    within = [step - turn.start for turn in behind for step, _ in turn.points if step < turn.stop]
    return math.gcd(*within, opening.turn_steps) if within else None


def _legs(behind: Sequence[Trained]) -> tuple[Leg, ...]:
    return tuple(
        Leg(start=turn.start, stop=turn.stop, member=turn.member, turn=turn.number)
        for turn in behind
    )
