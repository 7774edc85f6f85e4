"""How often a population in JAX is compiled."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp

import ramet
import ramet.jax
from ramet.errors import UsageError
from ramet.events import canonical
from ramet.jax.program import Program, Stacked
from tests.engine.loops import pbt
from tests.engine.stacked import cut_off, decisions
from tests.jax.tasks import SPACE, Bowl


def train(task: Bowl, strategy: ramet.Strategy, **settings: Any) -> ramet.Result:
    defaults: dict[str, Any] = {
        "steps": 64,
        "mode": "max",
        "seed": 0,
        "engine": ramet.Vectorized(chunk=settings.pop("chunk", 99)),
    }
    return ramet.run(ramet.jax.Task(task), SPACE, strategy, **{**defaults, **settings})


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many turns were trained at once, each time."""
    seen: list[int] = []
    trained = Program.train

    def train_(program: Program, states: Any, turns: Any, *rest: Any) -> Any:
        seen.append(len(turns))
        return trained(program, states, turns, *rest)

    monkeypatch.setattr(Program, "train", train_)
    return seen


@pytest.fixture
def compiled(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], int]]:
    """Return how many programs that train were compiled since the last call."""

    def count() -> int:
        said = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return sum(line.startswith("Finished XLA compilation of jit(_train") for line in said)

    # As of all threads; jax.log_compiles() would be of this one.
    jax.config.update("jax_log_compiles", val=True)
    yield count
    jax.config.update("jax_log_compiles", val=False)


@pytest.mark.parametrize("chunk", [1, 3, 99])
def test_evaluators_that_rest_compile_nothing(
    chunk: int, sizes: list[int], compiled: Callable[[], int]
) -> None:
    functions = Bowl()
    train(functions, ramet.FIRE(turn_steps=8, evaluate_every=1, size=3), chunk=chunk)
    assert set(sizes) == {6, 8}
    assert (functions.traced, compiled()) == (1, 1)


@pytest.mark.parametrize("chunk", [1, 4, 99])
def test_a_round_that_was_cut_off_is_compiled_once_and_goes_on_to_the_bit(
    chunk: int, tmp_path: Path, sizes: list[int], compiled: Callable[[], int]
) -> None:
    strategy, again = pbt(synchronous=True), Bowl()
    settings: dict[str, Any] = {"chunk": chunk, "steps": 24, "store": tmp_path / "runs.db"}
    with cut_off(9):
        train(Bowl(), strategy, **settings)
    sizes.clear()
    compiled()
    result = train(again, strategy, **settings)
    assert sizes[:2] == [3, 6]
    assert (again.traced, compiled()) == (1, 1)
    whole = train(Bowl(), strategy, chunk=chunk, steps=24)
    assert canonical(result.events) == canonical(whole.events)


def test_a_budget_that_ends_is_compiled_for_its_last_steps_only(
    sizes: list[int], compiled: Callable[[], int]
) -> None:
    functions = Bowl()
    train(functions, pbt(synchronous=True), steps=18)
    assert len(sizes) == 5
    assert (functions.traced, compiled()) == (2, 2)


def test_what_was_trained_needs_no_memory_beside_what_it_became() -> None:
    task = ramet.jax.Task(Bowl())
    held: list[Any] = []
    trained = Program.train

    def train_(program: Program, states: Stacked, *rest: Any) -> Any:
        # On a CPU an array that NumPy looks at stays, so only its leaves are kept.
        held.append(jax.tree.leaves(states.states))
        return trained(program, states, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Program, "train", train_)
        patch.setattr(Program, "capture", lambda _, states: lambda: _captured(states))
        engine = ramet.Vectorized(chunk=6)
        ramet.run(task, SPACE, pbt(synchronous=True), steps=16, mode="max", seed=0, engine=engine)
    assert all(leaf.is_deleted() for leaves in held for leaf in leaves)


def _captured(stack: Stacked) -> list[dict[str, Any]]:
    copies = jax.tree.map(lambda leaf: np.array(jnp.copy(leaf)), stack.states)
    return [{name: leaf[row] for name, leaf in copies.items()} for row in stack.rows]


def test_programs_are_compiled_in_another_thread_and_traced_in_this_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracing, compiling = set(), set()

    class Watched(Bowl):
        def step(self, *given: Any) -> Any:
            tracing.add(threading.current_thread().name)
            return super().step(*given)

    compile_ = jax.stages.Lowered.compile

    def compiled(lowered: Any, *settings: Any) -> Any:
        compiling.add(threading.current_thread().name)
        return compile_(lowered, *settings)

    monkeypatch.setattr(jax.stages.Lowered, "compile", compiled)
    train(Watched(), pbt(synchronous=True), steps=8)
    assert tracing == {"MainThread"}
    assert compiling == {"ramet-compile_0"}


def test_a_program_that_could_not_be_compiled_ahead_is_compiled_when_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: Any) -> Any:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")

    expected = decisions(train(Bowl(), pbt(synchronous=True)))
    monkeypatch.setattr(jax.stages.Lowered, "compile", full)
    assert decisions(train(Bowl(), pbt(synchronous=True))) == expected


def test_how_many_fit_is_found_after_training_has_consumed_the_states(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call, failures = Program._call, []  # noqa: SLF001 - a device that is full is not to be had otherwise

    def called(program: Program, chunk: int, members: Any, *rest: Any) -> Any:
        trained = call(program, chunk, members, *rest)
        if chunk > 2:
            failures.append(chunk)
            [leaf.delete() for leaf in jax.tree.leaves(members[0])]
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return trained

    monkeypatch.setattr(Program, "_call", called)
    with pytest.raises(UsageError, match="6 do not, and 1 would"):
        train(Bowl(), pbt(synchronous=True), chunk=6)
    assert failures == [6, 3]


CACHED = """
import jax, sys
hits = []
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event))
import ramet, ramet.jax
from tests.engine.loops import pbt
from tests.jax.tasks import SPACE, Bowl
settings = {"steps": 8, "mode": "max", "seed": 0, "engine": ramet.Vectorized(chunk=6)}
ramet.run(ramet.jax.Task(Bowl()), SPACE, pbt(synchronous=True), **settings)
print(hits.count("/jax/compilation_cache/cache_misses"))
"""


def test_a_second_process_compiles_nothing_if_jax_keeps_what_it_compiles(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CACHED, str(tmp_path)]
    missed = [
        int(
            subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, "JAX_PLATFORMS": "cpu"},
            ).stdout
        )
        for _ in range(2)
    ]
    assert missed[0] > 0
    assert missed[1] == 0
