"""Conditions, arrays and limits in runs, under every strategy and in every store."""

from pathlib import Path
from typing import Any

import pytest

import ramet
from ramet.blobs import MemoryBlobs
from ramet.errors import RunMismatch, SpaceError, StrategyError
from ramet.events import Copied, Explored, canonical
from ramet.history.doctor import examine
from ramet.store import MemoryStore
from tests.engine.rich import RICH, Rich
from tests.engine.stacked import Together

STEPS = 48
STRATEGIES: dict[str, ramet.Strategy] = {
    "PBT": ramet.PBT(population=8, turn_steps=4),
    "synchronous": ramet.PBT(
        population=8,
        turn_steps=4,
        synchronous=True,
        explore=ramet.Resample(0.3, otherwise=ramet.Perturb((0.5, 2.0), redraw=0.5)),
    ),
    "weights": ramet.PBT(population=8, turn_steps=4, copies="weights"),
    "hparams": ramet.PBT(population=8, turn_steps=4, copies="hparams"),
    "explore alone": ramet.PBT(population=4, turn_steps=4, exploit=None),
    "PB2": ramet.PBT(
        population=8, turn_steps=4, synchronous=True, explore=ramet.GaussianProcess(rows=40)
    ),
    "PB2 that learns choices": ramet.PBT(
        population=8,
        turn_steps=4,
        synchronous=True,
        explore=ramet.GaussianProcess(rows=40, choices="bandit"),
    ),
    "IPBT": ramet.IPBT(population=8, turn_steps=2),
    "FIRE without rounds": ramet.FIRE.for_workers(
        10, turn_steps=8, evaluate_every=1, synchronous=False
    ),
    "FIRE": ramet.FIRE.for_workers(10, turn_steps=8, evaluate_every=1),
    "MFPBT": ramet.MFPBT(population=16, turn_steps=4, intervals=(1, 4)),
    "random": ramet.RandomSearch(population=4, turn_steps=8),
    "hand-tuned": ramet.HandTuned(
        population=6,
        turn_steps=4,
        shapes={"lr[0]": ramet.Cosine(), "momentum": ramet.Drops(), "length": ramet.Cosine()},
    ),
}
every_strategy = pytest.mark.parametrize("name", STRATEGIES)


def search(name: str, **settings: Any) -> ramet.Result:
    usual = {"steps": STEPS, "mode": "max", "seed": 1}
    return ramet.run(Rich(), RICH, STRATEGIES[name], **{**usual, **settings})


@every_strategy
def test_all_values_of_a_run_are_in_the_space(name: str) -> None:
    result = search(name)

    given = [birth.hparams for birth in result.opening.births]
    moves = [event for event in result.events if isinstance(event, Explored | Copied)]
    given += [event.hparams for event in moves if event.hparams is not None]
    assert [problem for hparams in given if (problem := RICH.problem(hparams))] == []


@pytest.mark.parametrize("name", ["PBT", "synchronous", "PB2", "FIRE"])
def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been_and_can_be_extended(
    name: str, tmp_path: Path
) -> None:
    whole = search(name)
    for store in ("memory", tmp_path / "runs.db"):
        place: Any = (
            ramet.Storage(MemoryStore(), blobs=MemoryBlobs()) if store == "memory" else store
        )
        run = ramet.open(
            store=place, space=RICH, strategy=STRATEGIES[name], steps=STEPS, mode="max", seed=1
        )
        for _ in range(5):
            turn = run.ask()
            assert turn is not None
            train(run, turn)

        assert canonical(search(name, store=place).events) == canonical(whole.events)
        result = search(name, steps=2 * STEPS, store=place, existing="extend")

        assert result.population.done
        assert all(RICH.contains(member.hparams) for member in result.population)
        assert examine(result.store, result.blobs, result.opening.name) == []


def train(run: ramet.Run, turn: ramet.Turn) -> None:
    """Train a turn by hand."""
    task, state = Rich(), turn.load(Rich().init)
    for steps in turn.stretches():
        state = task.step(state, turn.hparams, steps, turn.rng)
        turn.report(task.evaluate(state))
    run.tell(turn, state=state)


@pytest.mark.parametrize("name", ["PBT", "synchronous", "hand-tuned"])
def test_a_saved_schedule_is_replayed_bit_for_bit(name: str, tmp_path: Path) -> None:
    result = search(name)
    result.schedule().save(tmp_path / "schedule.json")

    loaded = ramet.Schedule.load(tmp_path / "schedule.json")
    replayed = ramet.replay(Rich(), loaded, seeds=None, mode="max")

    assert loaded == result.schedule()
    assert replayed.scores == [result.best.score]
    assert (replayed.result.best.load()["w"] == result.best.load()["w"]).all()


def test_a_schedule_of_fewer_pieces_is_in_the_space() -> None:
    schedule = search("explore alone", steps=200).schedule()
    assert len({tuple(piece.hparams) for piece in schedule.pieces}) > 1

    for pieces in (1, 2, 5, 20):
        smoothed = schedule.smooth(pieces)

        assert len(smoothed.schedule) <= pieces
        assert all(RICH.contains(hparams) for _, hparams in smoothed.schedule)
        assert set(smoothed.deviation) == set(schedule.names)
        ramet.replay(Rich(), smoothed.schedule.stretch(40), seeds=[0], mode="max")


def test_a_run_of_worker_processes_is_the_same(tmp_path: Path) -> None:
    here = search("synchronous")

    there = search("synchronous", store=tmp_path / "runs.db", engine=ramet.Processes(2))

    assert canonical(there.events)[1:] == canonical(here.events)[1:]


def test_a_run_is_joined_with_the_space_that_is_on_record(tmp_path: Path) -> None:
    ramet.open(
        store=tmp_path / "runs.db",
        space=RICH,
        strategy=STRATEGIES["PBT"],
        steps=8,
        mode="max",
        seed=1,
    )

    ramet.join(Rich(), tmp_path / "runs.db")

    assert ramet.history.load(tmp_path / "runs.db").population.done


@pytest.mark.parametrize(
    "other",
    [
        {"limits": [ramet.AtMost("a", "b", factor=2)]},
        {"limits": []},
        {"a": ramet.When(ramet.Integer(1, 9), kind="y")},
        {"a": ramet.Integer(1, 9)},
        {"c": ramet.Array(ramet.Integer(1, 9), 2)},
    ],
)
def test_a_changed_condition_limit_or_array_is_another_space(other: dict[str, Any]) -> None:
    parts: dict[str, Any] = {
        "kind": ramet.Choice(["x", "y"]),
        "a": ramet.When(ramet.Integer(1, 9), kind="x"),
        "b": ramet.Integer(1, 9),
        "c": ramet.Array(ramet.Integer(1, 9), 2, together=True),
    }
    limits: Any = [ramet.AtMost("a", "b")]
    place = ramet.Storage(MemoryStore(), blobs=MemoryBlobs())
    settings: dict[str, Any] = {"store": place, "strategy": STRATEGIES["PBT"], "steps": 8}
    ramet.open(space=ramet.Space(parts, limits=limits), mode="max", seed=0, **settings)

    changed = ramet.Space(
        parts | {k: v for k, v in other.items() if k != "limits"},
        limits=other.get("limits", limits),
    )
    with pytest.raises(RunMismatch, match="space"):
        ramet.open(space=changed, mode="max", **settings)


def test_a_grid_must_name_just_what_is_there() -> None:
    space = ramet.Space(kind=ramet.Choice(["x", "y"]), a=ramet.When(ramet.Integer(1, 9), kind="x"))
    grid = ramet.Grid([{"kind": "x", "a": 1}, {"kind": "y"}], turn_steps=1)
    wrong = ramet.Grid([{"kind": "y", "a": 1}], turn_steps=1)

    class Count(Rich):
        def step(self, state: Any, hparams: Any, steps: int, rng: Any) -> Any:
            hparams["kind"]
            return {**state, "seen": state["seen"] + hparams.get("a", 0) * steps}

    result = ramet.run(Count(), space, grid, steps=2, mode="max")
    assert [member.load()["seen"] for member in result.members] == [2, 0]
    with pytest.raises(SpaceError, match="'a' is there only when 'kind' is 'x'"):
        ramet.run(Count(), space, wrong, steps=2, mode="max")


def test_a_shape_of_what_others_depend_on_is_refused() -> None:
    space = ramet.Space(n=ramet.Integer(1, 9), a=ramet.When(ramet.Integer(1, 9), n=1))

    with pytest.raises(StrategyError, match="no others depend on"):
        ramet.run(
            Rich(),
            space,
            ramet.HandTuned(population=2, turn_steps=1, shapes={"n": ramet.Cosine()}),
            steps=4,
            mode="max",
        )


def test_a_change_of_a_users_strategy_must_keep_conditions_and_limits() -> None:
    class Breaking(ramet.RandomSearch):
        def decide(self, population: Any, ready: Any, rng: Any) -> Any:
            hparams = dict(population[ready[0]].hparams) | {"short": 512}
            yield ramet.strategies.Change(member=ready[0], hparams=hparams)

    with pytest.raises(SpaceError, match=r"'short' must be at most 0\.5 times 'length'"):
        ramet.run(Rich(), RICH, Breaking(population=2, turn_steps=4), steps=8, mode="max")


def test_tables_have_a_column_for_each_and_none_where_it_is_not_there() -> None:
    result = search("synchronous")

    rows = result.rows("turns")
    kinds = {(row["hparams.optimizer"], row["hparams.momentum"] is None) for row in rows}

    assert kinds == {("sgd", False), ("adam", True)}
    assert len(result.to_pandas("copies")) == len(result.rows("copies"))
    assert all(set(row) == set(rows[0]) for row in rows)
    changed = {effect.name for effect in result.lineage().effects()}
    assert {"optimizer", "momentum", "lr[2]"} <= changed
    assert not any(None in (it.before, it.after) for it in result.lineage().effects())


def test_vectorised_training_of_rows_reads_arrays() -> None:
    space = ramet.Space(
        lr=ramet.LogUniform(1e-3, 1.0),
        decay=ramet.Uniform(0.0, 0.5),
        limits=[ramet.AtMost("lr", "decay", factor=4)],
    )
    strategy = ramet.PBT(population=6, turn_steps=4, synchronous=True)
    settings: dict[str, Any] = {"steps": 24, "mode": "max", "seed": 0}

    alone = ramet.run(Together(), space, strategy, **settings)
    result = ramet.run(Together(), space, strategy, engine=ramet.Vectorized(), **settings)

    assert [it.hparams for it in result.population] == [it.hparams for it in alone.population]
