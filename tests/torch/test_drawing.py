"""What members draw for their steps, also ahead of their turns, as on a GPU."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from ramet.engine.run.turn import Turn
from ramet.errors import UsageError
from ramet.population import Checkpoint, Member
from ramet.randomness import Draws
from ramet.state.tree import Tree
from ramet.store.base import Lease
from ramet.torch.drawing import Drawing


class Draw:
    """The one function of a task that is needed, and how often it was called."""

    def __init__(self) -> None:
        self.calls = 0
        self.wrong = False

    def draw(self, rng: np.random.Generator, steps: int) -> Tree:
        self.calls += 1
        return {"x": np.zeros(1) if self.wrong else rng.random((steps, 2))}


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[Draw], Drawing]:
    """Return what draws ahead, as on a GPU, but into memory of the CPU."""
    monkeypatch.setattr(Drawing, "_send", lambda _, stacked: stacked)
    return lambda functions: Drawing(functions, "cuda:0")  # type: ignore[arg-type]  # draw is enough


def turns(number: int, members: Sequence[int] = (0, 1, 2), seed: int = 0) -> list[Turn]:
    return [
        Turn(
            member=Member(id=member, hparams={}, turn=number),
            lease=Lease(
                run="run", member=member, worker="w", token=1, given_at=0.0, expires_at=9.0, head=0
            ),
            steps=4,
            evaluate_every=None,
            draws=Draws(seed, member, number),
            read=_read,
        )
        for member in members
    ]


def _read(_: Checkpoint) -> Tree:
    raise NotImplementedError


def plainly(number: int, members: Sequence[int] = (0, 1, 2), *, rows: slice = slice(4)) -> Any:
    """Return what generators of turns draw one after the other."""
    drawn = [Draws(0, member, number).training().random((8, 2)) for member in members]
    return np.stack(drawn)[:, rows]


def test_turns_get_what_their_own_generators_draw(on_gpu: Callable[[Draw], Drawing]) -> None:
    functions = Draw()
    ahead = on_gpu(functions)
    for number in range(3):
        for nth, rows in enumerate((slice(4), slice(4, 8))):
            drawn = ahead.take(turns(number), nth, 4)["x"].numpy()
            np.testing.assert_array_equal(drawn, plainly(number, rows=rows))
        if number < 2:
            ahead.draw_ahead(lambda: None)
    # Each of three members draws once for each of two stretches.
    assert functions.calls == 3 * 2 * 3


@pytest.mark.parametrize("others", [turns(2), turns(1, (0, 2)), turns(1, seed=1)])
def test_nothing_more_is_drawn_ahead_once_other_turns_have_come(
    others: list[Turn], on_gpu: Callable[[Draw], Drawing]
) -> None:
    functions = Draw()
    ahead = on_gpu(functions)
    ahead.take(turns(0), 0, 4)
    ahead.draw_ahead(lambda: None)
    drawn = ahead.take(others, 0, 4)["x"].numpy()
    expected = np.stack([turn.draws.training().random((4, 2)) for turn in others])
    np.testing.assert_array_equal(drawn, expected)
    functions.calls = 0
    ahead.draw_ahead(lambda: None)
    assert functions.calls == 0


def test_what_cannot_be_drawn_is_said_when_its_turns_are_trained(
    on_gpu: Callable[[Draw], Drawing],
) -> None:
    functions = Draw()
    ahead = on_gpu(functions)
    ahead.take(turns(0), 0, 4)
    functions.wrong = True
    ahead.draw_ahead(lambda: None)
    with pytest.raises(UsageError, match="must have a row for each step, 4 here"):
        ahead.take(turns(1), 0, 4)
    functions.wrong = False
    np.testing.assert_array_equal(ahead.take(turns(1), 0, 4)["x"].numpy(), plainly(1))


def test_a_cpu_draws_nothing_ahead() -> None:
    functions = Draw()
    plain = Drawing(functions, "cpu")  # type: ignore[arg-type]  # as above
    np.testing.assert_array_equal(plain.take(turns(0), 0, 4)["x"].numpy(), plainly(0))
    plain.draw_ahead(lambda: None)
    assert functions.calls == 3


def test_what_waits_for_draws_begins_after_them(on_gpu: Callable[[Draw], Drawing]) -> None:
    functions, seen = Draw(), []
    ahead = on_gpu(functions)
    ahead.take(turns(0), 0, 4)
    ahead.draw_ahead(lambda: seen.append(functions.calls))
    ahead.take(turns(1), 0, 4)
    # Three for the turns that were taken first, and three ahead.
    assert seen == [6]
    # Nothing is drawn ahead on a CPU.
    Drawing(functions, "cpu").draw_ahead(lambda: seen.append(0))  # type: ignore[arg-type]  # as above
    assert seen == [6, 0]
