"""The descent of benchmarks.crash as a program of NumPy, which trains all members at once."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ramet
from ramet.engine.workers.lanes import Lanes
from ramet.mapping.chunks import Chunks
from ramet.state.stacks import Stack

Note = Callable[[str, ramet.Turn], None]
Rows = NDArray[np.float64]


class Bowls:
    """The program. Every row is what `benchmarks.crash.Descent` computes for its member.

    Args:
        note: Called with "begun" and a turn before it is trained, and with "over" once a later
            call shows that it is on record: the round before may still be being written.
        turn_s: Seconds that each call takes longer.
    """

    size = 512

    def __init__(self, note: Note, turn_s: float) -> None:
        self.chunks = Chunks(1, self.is_full)
        self._note, self._turn_s = note, turn_s
        # The last two rounds.
        self._before: tuple[Sequence[ramet.Turn], Sequence[ramet.Turn]] = (), ()

    def prepare(self, turns: Sequence[ramet.Turn], lanes: Lanes) -> None:
        """Nothing needs to be prepared."""

    def init(self, turns: Sequence[ramet.Turn]) -> Rows:
        return np.stack([turn.init_rng.normal(size=64) for turn in turns])

    def restore(self, trees: Sequence[Any]) -> Rows:
        return np.stack([tree["w"] for tree in trees])

    def gather(self, stacks: Sequence[Rows], places: Sequence[int]) -> Rows:
        return np.concatenate(stacks)[list(places)]

    def copy(self, states: Rows, places: Sequence[int]) -> Rows:
        return states[list(places)]

    def train(
        self,
        states: Rows,
        turns: Sequence[ramet.Turn],
        stretches: Sequence[int],
        lanes: Lanes,
        busy: Callable[[], object],
    ) -> tuple[Rows, list[list[float]]]:
        del lanes
        busy()
        on_record, last = self._before
        for what, those in (("over", on_record), ("begun", turns)):
            for turn in those:
                self._note(what, turn)
        self._before = last, turns
        time.sleep(self._turn_s)
        trained = states.copy()
        scores = [
            [descend(w, turn, steps) for steps in stretches]
            for w, turn in zip(trained, turns, strict=True)
        ]
        return trained, scores

    def capture(self, states: Rows) -> Callable[[], Stack]:
        return lambda: Stack({"w": states}, rows=len(states))

    def is_full(self, error: Exception) -> bool:
        return isinstance(error, MemoryError)


def descend(w: Rows, turn: ramet.Turn, steps: int) -> float:
    """Take steps in a bowl, in place; return the score."""
    for _ in range(steps):
        w -= turn.hparams["lr"] * (w + turn.rng.normal(size=64))
        w *= 1 - turn.hparams["decay"] / 100
    return -float(w @ w)
