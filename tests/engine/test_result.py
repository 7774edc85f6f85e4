"""What a run comes to."""

from typing import Any

import numpy as np
import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.events import Copied, Explored, RoundEnded
from tests.engine.loops import SPACE, Descent, pbt


class Counts(Descent):
    """Keeps in its state the learning rate of each step."""

    def init(self, rng: np.random.Generator) -> dict[str, Any]:
        return {**super().init(rng), "rates": []}

    def step(
        self, state: dict[str, Any], hparams: Any, steps: int, rng: np.random.Generator
    ) -> dict[str, Any]:
        after = super().step(state, hparams, steps, rng)
        return {**after, "rates": [*state["rates"], *[hparams["lr"]] * steps]}


@pytest.mark.parametrize("copies", ["both", "weights", "hparams"])
@pytest.mark.parametrize("synchronous", [False, True])
def test_the_schedule_is_what_the_best_weights_were_trained_with(
    copies: Any, *, synchronous: bool
) -> None:
    strategy = pbt(copies=copies, synchronous=synchronous, exploit=ramet.Truncation(0.4))
    for seed in range(5):
        result = ramet.run(Counts(), SPACE, strategy, steps=40, mode="max", seed=seed)
        schedule, rates = result.schedule(), result.best.load()["rates"]
        assert [schedule(step)["lr"] for step in range(result.best.step)] == rates
        assert [piece.start for piece in schedule.pieces[1:]] == [
            piece.stop for piece in schedule.pieces[:-1]
        ]
        assert schedule.pieces[-1].hparams == result.best.hparams


def test_the_best_is_the_best_score_that_any_turn_ended_with() -> None:
    result = ramet.run(Descent(), SPACE, pbt(), steps=40, mode="max", seed=0)
    ended = [event.points[-1][1] for event in result.events if hasattr(event, "points")]
    assert result.best.score == max(ended)
    assert Descent().evaluate(result.best.load()) == result.best.score


def test_results_of_equal_runs_are_alike_and_short_to_print() -> None:
    one, other = (ramet.run(Descent(), SPACE, pbt(), steps=8, mode="max", seed=0) for _ in range(2))
    assert one.best == other.best
    assert repr(one) == (
        f"Result('run': 6 members, 12 turns, 0 copies, best {one.best.score:.6g}, seed 0)"
    )
    assert repr(one.population).startswith("Population(6 members, 12 turns, 0 copies, best ")


def test_the_best_state_is_a_copy_to_write_on() -> None:
    result = ramet.run(Descent(), SPACE, pbt(), steps=8, mode="max", seed=0)
    result.best.load()["w"][:] = 0.0
    assert Descent().evaluate(result.best.load()) == result.best.score


def test_a_run_without_a_finite_score_has_no_best() -> None:
    class Fails(Descent):
        def evaluate(self, state: dict[str, Any]) -> float:
            return float("nan")

    result = ramet.run(Fails(), SPACE, pbt(), steps=8, mode="max", seed=0)
    with pytest.raises(ramet.RametError, match="a finite score, but none of 12 did"):
        _ = result.best


def test_memory_holds_no_more_checkpoints_than_members_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[MemoryBlobs] = []

    def make() -> MemoryBlobs:
        made.append(MemoryBlobs())
        return made[-1]

    monkeypatch.setattr("ramet.places.MemoryBlobs", make)
    ramet.run(Descent(), SPACE, pbt(), steps=400, mode="max", seed=0)
    # Those of 6 members and the best one, and what came since the last sweep.
    assert 0 < len(made[0].sizes("run")) <= 7 + 8


def test_a_member_trains_with_what_it_explored_after_it_copied() -> None:
    used: dict[tuple[int, int], float] = {}

    def train(member: ramet.Trainee) -> None:
        state = Descent().init(member.rng)
        for turn in member.turns(state):
            used[turn.member, turn.number] = turn.hparams["lr"]
            state.update(Descent().step(state, turn.hparams, turn.steps, turn.rng))
            turn.report(Descent().evaluate(state))

    result = ramet.run(train, SPACE, pbt(synchronous=True), steps=24, mode="max", seed=0)
    turn = 0
    copied: dict[int, float] = {}
    explored = 0
    for event in result.events:
        if isinstance(event, Copied):
            assert event.hparams is not None
            copied[event.member] = float(str(event.hparams["lr"]))
        elif isinstance(event, Explored):
            explored += 1
            lr = event.hparams["lr"]
            assert lr in {copied[event.member] * 0.8, min(copied[event.member] * 1.2, 1.0)}
            assert used[event.member, turn + 1] == lr
        elif isinstance(event, RoundEnded):
            turn += 1
    assert explored == result.population.copies == 5


def test_trained_and_step_part_when_an_asynchronous_member_copies_one_that_is_ahead() -> None:
    run = ramet.open(
        space=SPACE,
        strategy=pbt(population=2, exploit=ramet.Truncation(0.5)),
        steps=80,
        mode="max",
        seed=0,
    )
    behind = run.ask()
    assert behind is not None
    for number in range(3):
        ahead = run.ask()
        assert ahead is not None
        list(ahead)
        run.tell(ahead, 1.0 + number, state={"w": 1.0})
    list(behind)
    run.tell(behind, 0.0, state={"w": 0.0})
    copied = run.population[behind.member]
    assert (copied.trained, copied.step) == (4, 12)
