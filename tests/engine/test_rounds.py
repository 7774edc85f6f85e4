"""Turns that are told together end as if they had been told one by one."""

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import ramet
from ramet import faults
from ramet.blobs import MemoryBlobs
from ramet.errors import StateError, TurnMisused
from ramet.events import AnyEvent, Copied, RoundEnded, StopAsked, Stopped, TurnEnded, canonical
from ramet.faults import POINTS
from ramet.state.stacks import Stack
from ramet.store import MemoryStore
from tests.engine.loops import SPACE, Descent, pbt
from tests.engine.scripts import findings_in, result_in
from tests.engine.stacked import Together
from tests.processes import in_another_process

Tell = Callable[[ramet.Run, Sequence[ramet.Turn], list[float], list[Any]], object]
STRATEGIES = {
    "truncation": pbt(),
    "tournament": pbt(exploit=ramet.BinaryTournament()),
    "synchronous": pbt(synchronous=True),
    "fire": ramet.FIRE(turn_steps=4, evaluate_every=1, size=3),
}


def together(
    run: ramet.Run, turns: Sequence[ramet.Turn], scores: list[Any], states: list[Any]
) -> None:
    run.tell_all(turns, scores, states=states)


def one_by_one(
    run: ramet.Run, turns: Sequence[ramet.Turn], scores: list[Any], states: list[Any]
) -> None:
    for turn, its, state in zip(turns, scores, states, strict=True):
        run.tell(turn, its, state=state)


def train(
    strategy: ramet.Strategy, tell: Tell, *, target: float | None = None, stops: int = 99
) -> list[AnyEvent]:
    """Train all free members between two tells; return the log, with states by themselves."""
    task = Descent()
    storage = ramet.Storage(MemoryStore(), blobs=MemoryBlobs())
    settings: dict[str, Any] = {"steps": 40, "mode": "max", "seed": 3, "target": target}
    run = ramet.open(storage, space=SPACE, strategy=strategy, **settings)
    while turns := sorted(run.ask_all(), key=lambda turn: turn.member):
        scores, states = [], []
        for turn in turns:
            state, points, step = turn.load(task.init), [], turn.start
            for stretch in turn.stretches():
                state = task.step(state, turn.hparams, stretch, turn.rng)
                points.append((step := step + stretch, task.evaluate(state)))
            if (turn.member, turn.number) == (2, stops):
                turn.stop_run()
            scores.append(points)
            states.append(state)
        tell(run, turns, scores, states)
    return [_alone(event) for event in run.result().events]


def _alone(event: AnyEvent) -> AnyEvent:
    if isinstance(event, TurnEnded):
        return msgspec.structs.replace(event, stack=msgspec.UNSET, row=msgspec.UNSET)
    if isinstance(event, Copied) and event.weights is not None:
        checkpoint = event.weights.checkpoint.by_itself()
        weights = msgspec.structs.replace(event.weights, checkpoint=checkpoint)
        return msgspec.structs.replace(event, weights=weights)
    return event


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_log_is_that_of_turns_that_were_told_one_by_one(name: str) -> None:
    log = train(STRATEGIES[name], together)
    assert log == train(STRATEGIES[name], one_by_one)
    assert sum(isinstance(event, Copied) for event in log) > 2


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_target_is_reached_where_it_is_reached_one_by_one(name: str) -> None:
    log = train(STRATEGIES[name], together, target=-0.5)
    assert log == train(STRATEGIES[name], one_by_one, target=-0.5)
    assert any(isinstance(event, Stopped) for event in log)


@pytest.mark.parametrize("name", ["truncation", "synchronous"])
def test_a_loop_that_asks_for_a_stop_stops_the_run_as_it_does_one_by_one(name: str) -> None:
    log = train(STRATEGIES[name], together, stops=2)
    assert log == train(STRATEGIES[name], one_by_one, stops=2)
    assert any(isinstance(event, StopAsked) for event in log)


def begin(store: Any, blobs: Any, *, worker: str = "one", **settings: Any) -> ramet.Run:
    defaults: dict[str, Any] = {"steps": 40, "mode": "max", "seed": 0, "name": "run"}
    storage = ramet.Storage(store, blobs=blobs)
    strategy = pbt(synchronous=True)
    return ramet.open(
        storage, space=SPACE, strategy=strategy, worker=worker, **{**defaults, **settings}
    )


def trained(turns: Sequence[ramet.Turn]) -> dict[str, Any]:
    """Return scores and states of turns, and train them."""
    scores = [[(turn.stop, float(turn.member))] for turn in turns]
    for turn in turns:
        turn.hparams["lr"], turn.hparams["decay"]
    states = Stack({"w": np.arange(2.0 * len(turns)).reshape(len(turns), 2)}, rows=len(turns))
    return {"turns": turns, "scores": scores, "states": states}


def test_a_round_is_one_file_and_one_commit() -> None:
    store, blobs = MemoryStore(), MemoryBlobs()
    run = begin(store, blobs)
    kept = run.tell_all(**trained(run.ask_all()))
    assert len(blobs.sizes("run")) == 1
    assert len({its.stack for its in kept if its}) == 1
    assert [its.row for its in kept if its] == list(range(6))
    assert any(isinstance(event, RoundEnded) for event in run.result().events)
    assert run.population.round == 1


def test_turns_that_lost_their_leases_are_left_out_of_the_file_of_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, blobs = MemoryStore(), MemoryBlobs()
    run, other = begin(store, blobs), begin(store, blobs, worker="other")
    turns = run.ask_all()
    assert other.give_up(0, turn=0, why="straggler")
    assert other.give_up(3, turn=0, why="straggler")
    kept = run.tell_all(**trained(turns))
    assert [member for member, its in enumerate(kept) if its is None] == [0, 3]
    assert [its.row for its in kept if its] == [0, 1, 2, 3]
    assert "no longer holds member 0" in caplog.text
    assert "no longer holds member 3" in caplog.text
    assert [turn.load()["w"][0] for turn in run.ask_all() if turn.member in {1, 2}] != []
    assert run.population.round == 1


def test_nothing_is_written_if_all_leases_are_lost() -> None:
    store, blobs = MemoryStore(), MemoryBlobs()
    run, other = begin(store, blobs), begin(store, blobs, worker="other")
    turns = run.ask_all()
    for turn in turns:
        assert other.give_up(turn.member, turn=0, why="straggler")
    assert run.tell_all(**trained(turns)) == [None] * 6
    assert not any(isinstance(event, TurnEnded) for event in run.result().events)


def test_turns_that_end_together_must_be_different_ones_and_have_states() -> None:
    run = begin(MemoryStore(), MemoryBlobs())
    turns = run.ask_all()
    told = trained(turns)
    with pytest.raises(TurnMisused, match="5 different turns of 6"):
        run.tell_all([*turns[:5], turns[0]], told["scores"], states=told["states"])
    with pytest.raises(TurnMisused, match="5 states"):
        run.tell_all(turns, told["scores"], states=list(told["states"])[:5])
    with pytest.raises(StateError, match="state=None"):
        run.tell_all(turns, told["scores"], states=[*list(told["states"])[:5], None])
    assert len(run.tell_all(**told)) == 6
    with pytest.raises(TurnMisused, match="over already"):
        run.tell_all(**told)


def test_all_turns_that_are_out_are_given_back_at_once() -> None:
    store = MemoryStore()
    run = begin(store, MemoryBlobs())
    assert len(run.ask_all()) == 6
    assert run.ask_all() == []
    run.release_all()
    assert not any(seat.worker for seat in store.seats("run"))
    assert [turn.number for turn in run.ask_all()] == [0] * 6


def train_in_rounds(store: Path, crash_at: str = "") -> None:
    """Train a run many at once; end the process at some point, if there is one."""
    if crash_at:
        faults.arm(crash_at)
    ramet.run(
        Together(),
        SPACE,
        pbt(synchronous=True),
        steps=40,
        mode="max",
        seed=0,
        engine=ramet.Vectorized(progress=False),
        store=ramet.Storage(store, durability="process"),
    )


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("nth", [1, 3])
def test_a_process_killed_at_any_point_of_a_round_loses_at_most_that_round(
    point: str, nth: int, tmp_path: Path
) -> None:
    whole = ramet.run(
        Descent(), SPACE, pbt(synchronous=True), steps=40, mode="max", seed=0, name="run"
    )
    store = tmp_path / "runs.db"
    assert in_another_process(train_in_rounds, store, f"{point}:{nth}") == -signal.SIGKILL
    train_in_rounds(store)
    result = result_in(store)
    assert canonical(result.events) == canonical(whole.events)
    assert findings_in(store) == []
    assert not list(tmp_path.rglob("*.tmp"))
    # Of the rounds that are over, nothing is left but what members stand on, and the best.
    assert len(list(tmp_path.rglob("*.safetensors"))) <= 2
