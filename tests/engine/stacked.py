"""The engine's own task as a program of NumPy: a stack is a list of states."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import ramet
from ramet.engine.workers.lanes import Lanes
from ramet.events import AnyEvent, Copied, Explored, TurnEnded, canonical
from ramet.mapping.chunks import Chunk, Chunks
from ramet.state.tree import thaw
from tests.engine.loops import Descent

Stack = list[dict[str, Any]]
# It trains one by one, whatever is said.
CHUNK: Chunk = 1


class Together(Descent):
    """`Descent` as what can be trained many at once; ``during`` is called with each group."""

    def __init__(self, during: Callable[[Sequence[ramet.Turn]], object] = len) -> None:
        self.during = during
        self.lanes: list[Lanes] = []

    def program(self, space: ramet.Space, **_: object) -> "Rows":
        assert list(space) == ["lr", "decay"]
        return Rows(self)


class Rows:
    """A program whose every answer is that of training one by one, to the bit."""

    size = 32

    def __init__(self, task: Together) -> None:
        self.task = task
        self.chunks = Chunks(CHUNK, self.is_full)

    def prepare(self, turns: Sequence[ramet.Turn], lanes: Lanes) -> None:
        """Nothing needs to be prepared."""

    def init(self, turns: Sequence[ramet.Turn]) -> Stack:
        return [self.task.init(turn.init_rng) for turn in turns]

    def restore(self, trees: Sequence[Any]) -> Stack:
        return [thaw(tree) for tree in trees]

    def gather(self, stacks: Sequence[Stack], places: Sequence[int]) -> Stack:
        states = [state for stack in stacks for state in stack]
        return [states[place] for place in places]

    def copy(self, states: Stack, places: Sequence[int]) -> Stack:
        return self.gather([states], places)

    def train(
        self,
        states: Stack,
        turns: Sequence[ramet.Turn],
        stretches: Sequence[int],
        lanes: Lanes,
        busy: Callable[[], object],
    ) -> tuple[Stack, list[list[float]]]:
        busy()
        self.task.during(turns)
        self.task.lanes.append(lanes)
        stack, scores = list(states), []
        for place, turn in enumerate(turns):
            row = []
            for steps in stretches:
                stack[place] = self.task.step(stack[place], turn.hparams, steps, turn.rng)
                row.append(self.task.evaluate(stack[place]))
            scores.append(row)
        return stack, scores

    def capture(self, states: Stack) -> Callable[[], Stack]:
        return lambda: states

    def is_full(self, error: Exception) -> bool:
        return isinstance(error, MemoryError)


@contextlib.contextmanager
def cut_off(told: int) -> Iterator[None]:
    """Cut a run off once so many turns have ended: the turns of its last round may be fewer."""
    tell_all, left = ramet.Run.tell_all, told

    def cutting(run: ramet.Run, turns: Any, scores: Any, *, states: Any) -> Any:
        nonlocal left
        if (ending := min(left, len(turns))) < len(turns):
            if ending:
                tell_all(run, turns[:ending], scores[:ending], states=states[:ending])
            raise KeyboardInterrupt
        left -= ending
        return tell_all(run, turns, scores, states=states)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ramet.Run, "tell_all", cutting)
        with pytest.raises(KeyboardInterrupt):
            yield


def decisions(result: ramet.Result) -> list[Any]:
    """Return who took what of whom in a run, and the values explored."""
    return [
        (event.member, event.source, event.kind)
        if isinstance(event, Copied)
        else (event.member, event.hparams)
        for event in canonical(result.events)
        if isinstance(event, Copied | Explored)
    ]


def scores(events: Sequence[AnyEvent]) -> np.ndarray:
    """Return all scores of a run, turn by turn; NaN where they are not finite."""
    ended = [event for event in canonical(events) if isinstance(event, TurnEnded)]
    return np.array([score for event in ended for _, score in event.points], float)
