"""A whole population as one program in JAX."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp

import ramet
import ramet.jax
from ramet.blobs import MemoryBlobs
from ramet.engine.vectorized import Chunks
from ramet.errors import UsageError
from ramet.events import AnyEvent, Copied, Explored, TurnEnded, canonical
from ramet.history.doctor import examine
from ramet.jax.program import Program
from ramet.store import MemoryStore
from tests.engine.loops import pbt
from tests.engine.scripts import findings_in
from tests.jax.tasks import SPACE, Bowl

FIRE = ramet.FIRE(ready=8, evaluate_every=1, size=3)
STRATEGIES = {
    "synchronous": pbt(synchronous=True, evaluate_every=2),
    "asynchronous": pbt(),
    "fire": FIRE,
    "random": ramet.RandomSearch(population=4, ready=4),
}


def together(strategy: ramet.Strategy, **settings: Any) -> ramet.Result:
    task = settings.pop("task", None) or ramet.jax.Task(Bowl(), chunk=settings.pop("chunk", 4))
    defaults: dict[str, Any] = {"steps": 64, "seed": 0, "engine": "vectorized"}
    return ramet.run(task, SPACE, strategy, **{**defaults, **settings})


def decisions(result: ramet.Result) -> list[Any]:
    return [
        (event.member, event.source, event.kind)
        if isinstance(event, Copied)
        else (event.member, event.hparams)
        for event in canonical(result.events)
        if isinstance(event, Copied | Explored)
    ]


def scores(events: list[AnyEvent]) -> np.ndarray:
    ended = [event for event in canonical(events) if isinstance(event, TurnEnded)]
    return np.array([score for event in ended for _, score in event.points])


@pytest.mark.parametrize("name", STRATEGIES)
def test_decisions_are_those_of_members_trained_one_by_one(name: str) -> None:
    strategy = STRATEGIES[name]
    one_by_one = together(strategy, engine=None)
    result = together(strategy)
    if strategy.synchronous:
        assert decisions(result) == decisions(one_by_one)
        assert scores(result.events) == pytest.approx(scores(one_by_one.events), rel=1e-3)
    assert result.population.done
    assert [member.turn for member in result.population] == [
        member.turn for member in one_by_one.population
    ]


def test_decisions_are_those_of_worker_processes(tmp_path: Path) -> None:
    strategy = STRATEGIES["synchronous"]
    processes = together(strategy, engine=None, workers=2, store=tmp_path / "runs.db")
    assert decisions(together(strategy)) == decisions(processes)


@pytest.mark.parametrize("chunk", [1, 2, 4, 5, 6, 99])
def test_how_many_are_mapped_at_once_changes_nothing(chunk: int) -> None:
    strategy = STRATEGIES["synchronous"]
    some, all_ = together(strategy, chunk=chunk), together(strategy, chunk=6)
    assert decisions(some) == decisions(all_)
    assert scores(some.events) == pytest.approx(scores(all_.events), rel=1e-3)


def test_exploring_and_copying_compile_nothing() -> None:
    functions = Bowl()
    task = ramet.jax.Task(functions, chunk=3)
    together(STRATEGIES["synchronous"], task=task, steps=8)
    traced = functions.traced
    result = together(STRATEGIES["synchronous"], task=task, steps=80)
    assert result.population.copies > 5
    # Two rounds compile what forty do.
    assert functions.traced <= 2 * traced


def test_what_is_fastest_is_measured_and_changes_nothing() -> None:
    strategy = STRATEGIES["synchronous"]
    measured = together(strategy, task=ramet.jax.Task(Bowl()))
    assert decisions(measured) == decisions(together(strategy))


@pytest.mark.parametrize("engines", [("vectorized", None), (None, "vectorized")])
def test_a_run_goes_on_in_the_other_engine(engines: tuple[Any, Any], tmp_path: Path) -> None:
    strategy = STRATEGIES["synchronous"]
    whole = together(strategy)
    place: dict[str, Any] = {"store": tmp_path / "runs.db"}
    first, second = engines
    together(strategy, engine=first, steps=32, **place)
    result = together(strategy, engine=second, extend=True, **place)
    assert result.population.done
    assert findings_in(tmp_path / "runs.db") == []
    before = scores(whole.events)[: 6 * 16]
    assert scores(result.events)[: 6 * 16] == pytest.approx(before, rel=1e-3)


def test_a_run_interrupted_between_rounds_goes_on_as_if_it_had_not_been() -> None:
    strategy = STRATEGIES["synchronous"]
    whole = together(strategy)
    store, blobs = MemoryStore(), MemoryBlobs()

    class Stops(MemoryStore):
        """Has whoever trains interrupted in the midst of telling the third round."""

        def commit(self, *args: Any, **options: Any) -> int:
            if len(self.events("run")) == 15:
                raise KeyboardInterrupt
            return super().commit(*args, **options)

    stops = Stops()
    with pytest.raises(KeyboardInterrupt):
        together(strategy, store=stops, blobs=blobs)
    store._records = stops._records  # noqa: SLF001 - what was written, in a store that goes on
    result = together(strategy, store=store, blobs=blobs)
    assert scores(result.events) == pytest.approx(scores(whole.events), rel=1e-6)
    assert examine(store, blobs, "run") == []


def test_the_best_can_be_loaded_and_is_what_it_scored() -> None:
    result = together(STRATEGIES["fire"])
    w = result.best.load()["w"]
    assert -float(w @ w) == pytest.approx(result.best.score, rel=1e-5)


def test_a_checkpoint_that_is_lost_costs_its_member_as_little_as_elsewhere(
    tmp_path: Path,
) -> None:
    place: dict[str, Any] = {"store": tmp_path / "runs.db"}
    together(STRATEGIES["random"], steps=32, **place)
    kept = sorted(tmp_path.rglob("2-*"))
    kept[0].unlink()
    result = together(STRATEGIES["random"], steps=64, extend=True, **place)
    assert result.population.done


def test_a_hyperparameter_that_no_function_reads_is_said(caplog: pytest.LogCaptureFixture) -> None:
    class Ignores(Bowl):
        def step(self, state: Any, hparams: Mapping[str, Any], steps: int, key: Any) -> Any:
            return super().step(state, {"lr": hparams["lr"], "decay": 0.0}, steps, key)

    for engine in ("vectorized", None):
        caplog.clear()
        task = ramet.jax.Task(Ignores(), chunk=4)
        together(STRATEGIES["random"], task=task, engine=engine, name=str(engine))
        assert "never read ['decay']" in caplog.text


@pytest.mark.parametrize(
    ("use", "name"),
    [
        (lambda h: 1 if h["lr"] > 0.1 else 2, "lr"),
        (lambda h: jnp.zeros(int(h["decay"] * 10)), "decay"),
        (lambda h: np.asarray(h["decay"]), "decay"),
        (lambda h: 1 if jnp.round(h["lr"]) > 0.1 else 2, "lr"),
    ],
)
@pytest.mark.parametrize("engine", ["vectorized", None])
def test_what_cannot_be_traced_is_named(use: Callable[[Any], Any], name: str, engine: Any) -> None:
    class Untraceable(Bowl):
        def step(self, state: Any, hparams: Mapping[str, Any], steps: int, key: Any) -> Any:
            use(hparams)
            return super().step(state, hparams, steps, key)

    task = ramet.jax.Task(Untraceable(), chunk=4)
    with pytest.raises(UsageError, match=rf"hyperparameter \['{name}'\] is used as a value"):
        together(STRATEGIES["random"], task=task, engine=engine)


def test_a_hyperparameter_that_is_no_number_is_named() -> None:
    space = ramet.Space(lr=ramet.LogUniform(1e-3, 0.5), decay=ramet.Choice(["low", "high"]))
    with pytest.raises(UsageError, match=r"must be numbers, but 'decay' is"):
        ramet.run(
            ramet.jax.Task(Bowl(), chunk=4),
            space,
            STRATEGIES["random"],
            steps=8,
            engine="vectorized",
        )


@pytest.mark.parametrize(
    ("settings", "law"),
    [
        ({"engine": "threads"}, "engine must be 'vectorized' or None"),
        ({"workers": 2}, "must be trained in one process"),
        ({"task": Bowl().evaluate}, "must be a ramet.jax.Task or a ramet.torch.Task"),
    ],
)
def test_engines_that_cannot_be_are_refused(settings: dict[str, Any], law: str) -> None:
    with pytest.raises(UsageError, match=law):
        together(STRATEGIES["random"], **settings)


@pytest.mark.parametrize("functions", [Bowl, object(), None])
def test_a_task_without_functions_is_refused(functions: Any) -> None:
    with pytest.raises(UsageError, match="the methods init, step and evaluate"):
        ramet.jax.Task(functions)


@pytest.mark.parametrize("chunk", [0, 2.5, True, "all"])
def test_a_chunk_that_is_none_is_refused(chunk: Any) -> None:
    with pytest.raises(ramet.RametError, match="chunk must be a whole number"):
        ramet.jax.Task(Bowl(), chunk=chunk)


SHARDED = """
import jax, ramet, ramet.jax
from tests.engine.loops import pbt
from tests.jax.tasks import SPACE, Bowl
assert len(jax.devices()) == 4
strategy = pbt(synchronous=True, evaluate_every=2)
for shard in (True, False):
    for chunk in (1, 2, "auto"):
        task = ramet.jax.Task(Bowl(), chunk=chunk, shard=shard)
        result = ramet.run(task, SPACE, strategy, steps=64, seed=0, engine="vectorized")
        print(f"{result.best.score:.4f}", result.population.copies)
"""


@pytest.mark.slow
def test_members_can_be_spread_over_devices() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SHARDED],
        env={**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(set(ran.stdout.splitlines())) == 1


def scarce(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Have a device on which no more than so many members fit at once."""
    compile_ = Program._compile  # noqa: SLF001 - a device that is full is not to be had otherwise

    def full(*args: Any, **static: Any) -> Any:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")

    def compiled(program: Program, chunk: int) -> Any:
        return full if chunk > most else compile_(program, chunk)

    monkeypatch.setattr(Program, "_compile", compiled)


def test_no_more_are_mapped_at_once_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = STRATEGIES["synchronous"]
    expected = decisions(together(strategy))
    scarce(monkeypatch, 2)
    assert decisions(together(strategy, task=ramet.jax.Task(Bowl()))) == expected


@pytest.mark.parametrize(
    ("chunk", "most", "law"),
    [
        (6, 2, "6 do not, and 1 would"),
        (4, 2, "3 do not, and 1 would"),
        (4, 0, "3 do not, and not even 1 would"),
        ("auto", 0, "not even one member at a time .* the states of all 6, 16 bytes each"),
    ],
)
def test_what_does_not_fit_is_said_with_what_does(
    chunk: Any, most: int, law: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scarce(monkeypatch, most)
    with pytest.raises(UsageError, match=law):
        together(STRATEGIES["synchronous"], task=ramet.jax.Task(Bowl(), chunk=chunk))


def test_what_is_no_hyperparameters_fault_is_not_blamed_on_one() -> None:
    class Untraceable(Bowl):
        def step(self, state: Any, hparams: Mapping[str, Any], steps: int, key: Any) -> Any:
            after = super().step(state, hparams, steps, key)
            return after if state["w"][0] > 0 else state

    task = ramet.jax.Task(Untraceable(), chunk=4)
    with pytest.raises(UsageError, match="something else that is traced is used as a value"):
        together(STRATEGIES["random"], task=task)


def test_members_are_measured_anew_when_there_are_many_more_of_them() -> None:
    measured: list[int] = []

    def seconds(chunk: int) -> float:
        measured.append(chunk)
        return 1.0 / chunk

    chunks = Chunks("auto")
    assert [chunks.of(count, seconds) for count in (1, 16, 22, 16, 64)] == [1, 16, 22, 16, 64]
    assert measured == [1, 16, 4, 64, 16]
    assert [Chunks(16).of(count, seconds) for count in (6, 16, 22, 40)] == [6, 16, 11, 14]
