"""All members that are free trained as one program, whatever framework it is of."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.domains import Domain
from ramet.engine.run.foresight import Foresight
from ramet.engine.workers import vectorized
from ramet.errors import UsageError
from ramet.events import CheckpointLost, Copied, Mapped, TurnEnded, canonical
from ramet.layout import FIRST
from ramet.mapping.arrays import SpaceArrays
from ramet.mapping.chunks import Chunks, fastest
from ramet.state.stacks import read_stack
from ramet.store import MemoryStore
from tests.engine.loops import SPACE, Descent, pbt
from tests.engine.scripts import findings_in
from tests.engine.stacked import Rows, Together, cut_off

STRATEGIES = {
    "pbt": pbt(synchronous=True, evaluate_every=2),
    "of hyperparameters": pbt(synchronous=True, copies="hparams"),
    "fire": ramet.FIRE(turn_steps=4, evaluate_every=1, size=3),
    "uneven": pbt(synchronous=True, turn_steps=5),
    "random": ramet.RandomSearch(population=4, turn_steps=4, synchronous=True),
}
PBT = STRATEGIES["pbt"]


@pytest.fixture(autouse=True, params=["ahead", "in turn"])
def ahead(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Train each round while the last one is written, or after it, however long that takes."""
    least = -1.0 if request.param == "ahead" else math.inf
    monkeypatch.setattr(vectorized, "LEAST_TRAINING", least)
    return request.param == "ahead"


def train(task: Any, strategy: ramet.Strategy = PBT, **settings: Any) -> ramet.Result:
    defaults: dict[str, Any] = {"steps": 48, "mode": "max", "seed": 0, "engine": ramet.Vectorized()}
    return ramet.run(task, SPACE, strategy, **{**defaults, **settings})


def one_by_one(strategy: ramet.Strategy = PBT, **settings: Any) -> ramet.Result:
    return train(Descent(), strategy, engine=None, **settings)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_log_is_that_of_members_trained_one_by_one(name: str, mode: Any) -> None:
    strategy = STRATEGIES[name]
    result = train(Together(), strategy, mode=mode)
    assert canonical(result.events) == canonical(one_by_one(strategy, mode=mode).events)
    assert result.population.done


@pytest.mark.parametrize("name", ["pbt", "fire", "uneven"])
def test_a_target_ends_it_where_it_ends_members_trained_one_by_one(name: str) -> None:
    strategy = STRATEGIES[name]
    result = train(Together(), strategy, target=-0.01)
    assert result.population.why_stopped == "target"
    assert not result.population.done
    ends = one_by_one(strategy, target=-0.01)
    assert canonical(result.events) == canonical(ends.events)


def test_members_that_need_not_wait_go_on_from_whom_they_copy(tmp_path: Path) -> None:
    result = train(Together(), pbt(), store=tmp_path / "runs.db")
    assert result.population.done
    assert findings_in(tmp_path / "runs.db") == []
    copies = [event for event in result.events if isinstance(event, Copied)]
    assert len(copies) > 3
    digests = {
        (event.member, event.turn): event.digest
        for event in result.events
        if isinstance(event, TurnEnded)
    }
    taken = [copy.weights.checkpoint for copy in copies if copy.weights]
    assert all(digests[kept.member, kept.turn] == kept.digest for kept in taken)


def test_all_that_are_free_are_trained_at_once() -> None:
    groups: list[int] = []
    train(Together(lambda turns: groups.append(len(turns))))
    assert groups == [6] * 12


def test_states_that_it_holds_are_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    restored: list[int] = []
    read = Rows.restore

    def noting(rows: Rows, trees: Sequence[Any]) -> Any:
        restored.append(len(trees))
        return read(rows, trees)

    monkeypatch.setattr(Rows, "restore", noting)
    assert train(Together()).population.copies > 3
    assert restored == []


def test_turns_of_fewer_steps_are_a_group_of_their_own() -> None:
    """As where another worker has taken some members further than the rest."""
    store, blobs = MemoryStore(), MemoryBlobs()
    settings: dict[str, Any] = {
        "strategy": pbt(turn_steps=4),
        "steps": 10,
        "mode": "max",
        "seed": 0,
        "name": "run",
    }
    with_one = ramet.open(ramet.Storage(store, blobs=blobs), space=SPACE, **settings)
    task = Descent()
    ahead = [turn for _ in range(6) if (turn := with_one.ask())][:2]
    for _ in range(2):
        for turn in ahead:
            state = task.step(turn.load(task.init), turn.hparams, turn.steps, turn.rng)
            with_one.tell(turn, task.evaluate(state), state=state)
        ahead = [again for turn in ahead if (again := _asked(with_one, turn.member))]
    with_one.release_all()
    groups: list[list[int]] = []

    def note(turns: Sequence[ramet.Turn]) -> None:
        groups.append([turn.steps for turn in turns])

    result = train(
        Together(note), pbt(turn_steps=4), steps=10, store=ramet.Storage(store, blobs=blobs)
    )
    assert result.population.done
    assert all(len(set(steps)) == 1 for steps in groups)
    assert [2, 2] in groups


def _asked(run: ramet.Run, member: int) -> ramet.Turn | None:
    """Ask until a member is handed out; give the others back."""
    turns = list(iter(run.ask, None))
    for turn in turns:
        if turn.member != member:
            run.release(turn)
    return next((turn for turn in turns if turn.member == member), None)


def test_a_member_that_was_given_up_meanwhile_is_the_only_one_to_lose_its_turn(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is trained ahead is leased afterwards.
    monkeypatch.setattr(vectorized, "LEAST_TRAINING", math.inf)
    store, blobs = MemoryStore(), MemoryBlobs()

    def during(turns: Sequence[ramet.Turn]) -> None:
        if turns[0].number == 2:
            other = ramet.open(
                ramet.Storage(store, blobs=blobs),
                space=SPACE,
                strategy=PBT,
                steps=48,
                mode="max",
                name="run",
                worker="other",
            )
            assert other.give_up(3, turn=2, why="straggler")

    result = train(Together(during), store=ramet.Storage(store, blobs=blobs))
    assert result.population.done
    assert "no longer holds member 3" in caplog.text
    ended = [(e.member, e.turn) for e in result.events if isinstance(e, TurnEnded)]
    assert {(m, 2) for m in range(6)} - set(ended) == {(3, 2)}


def test_an_error_of_a_program_ends_the_run_and_fails_no_member() -> None:
    store, blobs = MemoryStore(), MemoryBlobs()

    def during(turns: Sequence[ramet.Turn]) -> None:
        if turns[0].number == 5:
            raise RuntimeError("the device fell off the bus")

    with pytest.raises(RuntimeError, match="fell off the bus"):
        train(Together(during), store=ramet.Storage(store, blobs=blobs))
    assert not any(seat.worker for seat in store.seats("run"))
    result = train(Together(), store=ramet.Storage(store, blobs=blobs))
    assert canonical(result.events) == canonical(one_by_one().events)


@pytest.mark.parametrize("name", ["pbt", "fire"])
@pytest.mark.parametrize("told", [1, 4, 23, 29])
def test_what_is_left_of_a_round_that_was_cut_off_is_trained_in_the_lanes_it_had(
    name: str, told: int
) -> None:
    strategy = STRATEGIES[name]
    undisturbed, first, second = Together(), Together(), Together()
    whole = train(undisturbed, strategy)
    store, blobs = MemoryStore(), MemoryBlobs()
    with cut_off(told):
        train(first, strategy, store=ramet.Storage(store, blobs=blobs))
    result = train(second, strategy, store=ramet.Storage(store, blobs=blobs))
    assert canonical(result.events) == canonical(whole.events)
    rounds = len(undisturbed.lanes)
    left, *others = second.lanes
    as_it_was = undisturbed.lanes[rounds - len(second.lanes)]
    assert len(left.filled) == len(as_it_was.filled)
    assert left.of == as_it_was.of[-len(left.of) :]
    assert others == undisturbed.lanes[rounds - len(others) :]


@pytest.mark.parametrize("name", STRATEGIES)
def test_what_was_foreseen_and_did_not_come_is_trained_from_the_record(
    name: str, *, ahead: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, asked = Foresight.claim, []

    def claim_more(self: Foresight, foreseen: Sequence[ramet.Turn], written: Any) -> Any:
        asked.append(foreseen)
        return claim(self, foreseen[: len(foreseen) - len(asked) % 2], written)

    monkeypatch.setattr(Foresight, "claim", claim_more)
    result = train(Together(), STRATEGIES[name])
    assert bool(asked) == ahead
    assert canonical(result.events) == canonical(one_by_one(STRATEGIES[name]).events)


def test_a_run_that_is_asked_to_stop_stops_when_its_round_is_over(*, ahead: bool) -> None:
    store, blobs = MemoryStore(), MemoryBlobs()

    def during(turns: Sequence[ramet.Turn]) -> None:
        if turns[0].number == 4:
            settings: dict[str, Any] = {"space": SPACE, "strategy": PBT, "steps": 48, "mode": "max"}
            ramet.open(ramet.Storage(store, blobs=blobs), name="run", **settings).stop()

    stopped = train(Together(during), store=ramet.Storage(store, blobs=blobs))
    # A round that is trained ahead may have been claimed by then, or else it is dropped.
    assert {member.turn for member in stopped.population} in ([{4}, {5}] if ahead else [{5}])
    gone_on = train(Together(), store=ramet.Storage(store, blobs=blobs))
    assert [
        event for event in canonical(gone_on.events) if isinstance(event, TurnEnded | Copied)
    ] == [
        event for event in canonical(one_by_one().events) if isinstance(event, TurnEnded | Copied)
    ]


def test_a_score_that_is_not_finite_costs_its_member_its_weights() -> None:
    class Diverges(Together):
        def evaluate(self, state: Any) -> float:
            score = super().evaluate(state)
            return float("nan") if score < -2.0 else score

    class Alone(Diverges):
        program = None  # so that it is no vectorised task

    result = train(Diverges())
    assert any(
        score is None
        for event in result.events
        if isinstance(event, TurnEnded)
        for _, score in event.points
    )
    assert canonical(result.events) == canonical(train(Alone(), engine=None).events)


def test_a_checkpoint_that_is_lost_costs_its_member_what_it_costs_elsewhere(
    tmp_path: Path,
) -> None:
    logs = []
    for engine in (ramet.Vectorized(), None):
        folder = tmp_path / str(engine)
        folder.mkdir()
        place: dict[str, Any] = {"store": folder / "runs.db", "engine": engine}
        lose_state(train(Together(), STRATEGIES["random"], steps=32, **place), 2, folder)
        result = train(Together(), STRATEGIES["random"], steps=64, existing="extend", **place)
        assert result.population.done
        assert findings_in(folder / "runs.db") == []
        assert sum(isinstance(event, CheckpointLost) for event in result.events) == 1
        kept = (e for e in canonical(result.events) if isinstance(e, TurnEnded | Copied))
        logs.append(sorted(kept, key=repr))
    assert logs[0] == logs[1]


def lose_state(result: ramet.Result, member: int, folder: Path) -> None:
    """Delete a member's checkpoint, or flip a bit of its row in the stack."""
    kept = result.population[member].checkpoint
    assert kept is not None
    [file] = folder.rglob(f"{kept.stack or kept.key}.safetensors")
    if kept.stack is None:
        file.unlink()
        return
    data = bytearray(file.read_bytes())
    first = FIRST + int.from_bytes(data[:FIRST], "little")
    [(place, _), *_] = read_stack(bytes(data[:first])).ranges(kept.row)
    data[place] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("verb", ["init", "gather", "capture", "train"])
def test_a_population_that_is_too_large_is_refused_with_its_size(
    verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> Any:
        raise MemoryError("out of memory")

    monkeypatch.setattr(Rows, verb, full)
    with pytest.raises(UsageError, match="beside the states of all 6, 32 bytes each"):
        train(Together())


def test_how_many_are_mapped_at_once_is_what_took_the_least(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "ramet")
    taken_s = {64: 5.0, 16: 2.0, 4: 3.0, 1: 9.0}
    assert fastest(64, taken_s.get) == 16
    assert "16 members are trained at once" in caplog.text


def test_nothing_is_tried_that_must_be_slower_still() -> None:
    tried: list[int] = []

    def seconds(chunk: int) -> float:
        tried.append(chunk)
        return 1.0 / chunk

    assert fastest(64, seconds) == 64
    assert tried == [64, 16]


@pytest.mark.parametrize(("most", "chunk"), [(64, 64), (20, 16), (3, 1), (0, None)])
def test_what_does_not_fit_is_left_out(most: int, chunk: int | None) -> None:
    assert fastest(64, lambda few: 1.0 / few if few <= most else None) == chunk


def none(chunk: int) -> Callable[[], object]:
    raise AssertionError("a number that was given is not measured")


def chunks(chunk: Any = "auto") -> Chunks:
    return Chunks(chunk, lambda error: isinstance(error, MemoryError))


def test_members_are_measured_anew_when_there_are_many_more_of_them() -> None:
    measured: list[int] = []

    def trial(chunk: int) -> Callable[[], object]:
        measured.append(chunk)
        return time.perf_counter

    measuring = chunks()
    for count in (1, 16, 22, 16, 64):
        measuring.of(count, trial)
    assert measured[0] == 1
    assert 16 in measured
    assert 22 not in measured
    assert 64 in measured


def test_what_a_run_has_on_record_is_not_measured_again() -> None:
    said = []

    def record(mapped: Mapped) -> list[Mapped]:
        said.append(mapped)
        return [mapped]

    going_on = chunks()
    going_on.keep_to("lm", [Mapped(chunk=3, of=3), Mapped(chunk=4, of=16)], record)
    assert [going_on.of(count, none) for count in (3, 16, 22)] == [3, 4, 4]
    asked_for = chunks()
    asked_for.keep_to("lm", [Mapped(chunk=8)], record)
    assert asked_for.of(100, none) == 8
    assert said == []
    going_on.of(64, lambda _: time.perf_counter)
    assert [mapped.of for mapped in said] == [64]


@pytest.mark.parametrize(("chunk", "warned"), [(3, False), (4, True)])
def test_a_chunk_that_was_measured_may_be_asked_for_by_its_number(
    chunk: int, *, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    asked_for = chunks(chunk)
    asked_for.keep_to("lm", [Mapped(chunk=3, of=6)], lambda mapped: [mapped])
    assert ("trained with 3 members at once" in caplog.text) is warned


def test_of_two_that_measure_at_once_both_take_what_was_recorded_first() -> None:
    measuring = chunks()
    measuring.keep_to("lm", [], lambda _: [Mapped(chunk=5, of=20)])
    assert measuring.of(20, lambda _: time.perf_counter) == 5


def test_where_nothing_fits_nothing_is_recorded() -> None:
    def fill(chunk: int) -> Callable[[], object]:
        raise MemoryError

    def record(mapped: Mapped) -> list[Mapped]:
        raise AssertionError(mapped)

    measuring = chunks()
    measuring.keep_to("lm", [], record)
    assert measuring.of(16, fill) == 1


def test_chunks_are_as_even_as_can_be() -> None:
    assert [chunks(16).of(count, none) for count in (6, 16, 22, 40)] == [6, 16, 11, 14]


@pytest.mark.parametrize(("most", "said"), [(5, "8 do not, and 4 would"), (1, "and 1 would")])
def test_what_would_fit_is_said(most: int, said: str) -> None:
    def fill(chunk: int) -> Callable[[], object]:
        if chunk > most:
            raise MemoryError
        return dict

    assert said in str(chunks(8).explain(MemoryError("full"), 8, fill))


def test_an_error_that_fewer_members_do_not_mend_stays_as_it_is() -> None:
    def fill(chunk: int) -> Callable[[], object]:
        raise MemoryError

    for error in (MemoryError("full"), RuntimeError("another")):
        assert chunks(8).explain(error, 8, fill) is error


def test_values_are_always_of_the_same_kind() -> None:
    space = ramet.Space(
        rate=ramet.Uniform(0.0, 1.0),
        mixed=ramet.Choice([0, 0.5]),
        layers=ramet.Integer(1, 4),
        flag=ramet.Choice([True, False]),
        same=ramet.Constant(3),
    )
    first = {"rate": 1.0, "mixed": 0, "layers": 2, "flag": True, "same": 3}
    for values in (first, {**first, "mixed": 0.5}):
        arrays = SpaceArrays(space).of(values)
        kinds = {name: array.dtype.type for name, array in arrays.items()}
        assert kinds == {
            "rate": np.float32,
            "mixed": np.float32,
            "layers": np.int32,
            "flag": np.bool_,
            "same": np.int32,
        }


@pytest.mark.parametrize(
    ("domain", "law"),
    [
        (ramet.Choice(["a", "b"]), "must be numbers, but 'x' may be 'a'"),
        (ramet.Choice([1, None]), "must be numbers, but 'x' may be None"),
        (ramet.Integer(1, 2**40), f"must fit 32 bits, .* but 'x' may be {2**40}"),
        (ramet.Constant(-(2**31) - 1), "must fit 32 bits"),
    ],
)
def test_what_cannot_be_mapped_over_is_named(domain: Domain, law: str) -> None:
    with pytest.raises(UsageError, match=law):
        SpaceArrays(ramet.Space(x=domain))


@pytest.mark.slow
@pytest.mark.parametrize("order", [(0, 1, 0), (1, 0, 1)], ids=["together first", "processes first"])
@pytest.mark.parametrize("name", ["pbt", "fire"])
def test_a_run_goes_on_in_worker_processes_and_back_to_the_bit(
    name: str, order: Sequence[int], tmp_path: Path
) -> None:
    strategy, engines = STRATEGIES[name], [ramet.Vectorized(), ramet.Processes(2)]
    settings: dict[str, Any] = {"store": tmp_path / "runs.db", "existing": "extend"}
    for steps, engine in zip((16, 32, 48), order, strict=True):
        result = train(Together(), strategy, steps=steps, engine=engines[engine], **settings)
    alone: dict[str, Any] = {"store": tmp_path / "other.db", "existing": "extend"}
    for steps in (16, 32, 48):
        undisturbed = one_by_one(strategy, steps=steps, **alone)
    assert canonical(result.events) == canonical(undisturbed.events)
    assert findings_in(tmp_path / "runs.db") == []
    again = ramet.replay(Together(), result.schedule(), seeds=None)
    assert again.scores == [result.best.score]
