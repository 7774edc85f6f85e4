"""Rounds of which all states are written in one file, for tests of stacks."""

from collections.abc import Sequence
from typing import Any

import numpy as np

import ramet
from ramet.blobs import Blobs
from ramet.engine.run.checkpoints import Checkpoints
from ramet.engine.run.run_events import turn_ended
from ramet.events import AnyEvent, fold
from ramet.population import Checkpoint
from ramet.state import Stack, Tree
from ramet.store import Store, standing
from tests.engine.loops import SPACE

MEMBERS = 12
STRATEGY = ramet.RandomSearch(population=MEMBERS, turn_steps=4)


def opened(store: Any, **settings: Any) -> ramet.Run:
    """Return a run of twelve members that never copy each other."""
    same: dict[str, Any] = {"strategy": STRATEGY, "steps": 8, "mode": "max", "seed": 0}
    return ramet.open(store, space=SPACE, **{**same, **settings})


def weights_of(member: int, turn: int) -> np.ndarray:
    """Return what a member's weights are after a turn."""
    return np.full(50, float(100 * turn + member))


def state_of(kept: Checkpoint) -> Tree:
    """Return the state that a turn left."""
    return {"w": weights_of(kept.member, kept.turn), "count": np.asarray(kept.turn)}


def asked(run: ramet.Run, count: int) -> list[ramet.Turn]:
    """Return so many turns."""
    turns = [run.ask() for _ in range(count)]
    return [turn for turn in turns if turn is not None]


def end(
    store: Store, blobs: Blobs, run: ramet.Run, turns: Sequence[ramet.Turn]
) -> list[Checkpoint]:
    """End turns of which the states are in one stack; a member's score is its id."""
    states = Stack(
        {
            "w": np.stack([weights_of(turn.member, turn.number) for turn in turns]),
            "count": np.array([turn.number for turn in turns]),
        },
        rows=len(turns),
    )
    written = Checkpoints(blobs, run.name).begin_to_write(states, turns).wait()
    for turn, kept in zip(turns, written, strict=True):
        points = ((turn.stop, float(turn.member)),)
        events: list[AnyEvent] = turn_ended(turn, kept=kept, points=points, metrics=())
        now = fold([logged.event for logged in store.events(run.name)] + events)
        store.commit(turn.lease, events, [standing(now[turn.member])])
    run.release_all()
    return written
