"""A whole population as one program in JAX."""

import math
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import optax
import pytest
from jax import numpy as jnp

import ramet
import ramet.jax
from ramet.engine.workers import vectorized
from ramet.errors import RunFailed, StateError, UsageError
from ramet.events import Conditions, Mapped, canonical
from ramet.jax.program import Program
from tests.engine.loops import pbt
from tests.engine.scripts import findings_in
from tests.engine.stacked import cut_off, decisions, scores
from tests.jax.tasks import SPACE, Bowl

FIRE = ramet.FIRE(turn_steps=8, evaluate_every=1, size=3)
STRATEGIES = {
    "synchronous": pbt(synchronous=True, evaluate_every=2),
    "asynchronous": pbt(),
    "fire": FIRE,
    "random": ramet.RandomSearch(population=4, turn_steps=4),
}

VECTORIZED = ramet.Vectorized(chunk=4)


def together(strategy: ramet.Strategy, **settings: Any) -> ramet.Result:
    task = settings.pop("task", None) or ramet.jax.Task(Bowl())
    engine = ramet.Vectorized(chunk=settings.pop("chunk", 4))
    defaults: dict[str, Any] = {"steps": 64, "mode": "max", "seed": 0, "engine": engine}
    return ramet.run(task, SPACE, strategy, **{**defaults, **settings})


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
    task = ramet.jax.Task(functions)
    together(STRATEGIES["synchronous"], task=task, steps=8, chunk=3)
    traced = functions.traced
    result = together(STRATEGIES["synchronous"], task=task, steps=80, chunk=3)
    assert result.population.copies > 5
    # Two rounds compile what forty do.
    assert functions.traced <= 2 * traced


def test_a_choice_of_whole_and_real_numbers_compiles_nothing_either() -> None:
    space = ramet.Space(lr=ramet.Choice([0, 0.1, 0.2]), decay=ramet.Choice([0, 0.5]))
    for engine in (ramet.Vectorized(chunk=6), None):
        functions = Bowl()
        task = ramet.jax.Task(functions)
        strategy = pbt(synchronous=True, explore=ramet.Resample(probability=1.0))
        ramet.run(task, space, strategy, steps=40, mode="max", seed=0, engine=engine)
        assert functions.traced <= 2


def test_what_is_fastest_is_measured_and_changes_nothing() -> None:
    strategy = STRATEGIES["synchronous"]
    measured = together(strategy, task=ramet.jax.Task(Bowl()), chunk="auto")
    assert decisions(measured) == decisions(together(strategy))


def test_a_run_keeps_the_number_mapped_at_once_on_any_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, strategy = ramet.jax.Task(Bowl()), STRATEGIES["synchronous"]
    results = []
    for chunk in (2, 6):
        place: dict[str, Any] = {
            "task": task,
            "chunk": "auto",
            "store": tmp_path / f"{chunk}.db",
            "existing": "extend",
        }
        monkeypatch.setattr("ramet.mapping.chunks.fastest", lambda *_: 2)
        together(strategy, steps=16, **place)
        monkeypatch.setattr("ramet.mapping.chunks.fastest", lambda *_, chunk=chunk: chunk)
        results.append(together(strategy, **place))
    same, other = results
    mapped = [event.mapped for event in other.events if isinstance(event, Conditions)]
    assert mapped[1:] == [Mapped(chunk=2, of=6)]
    assert scores(other.events).tolist() == scores(same.events).tolist()


@pytest.mark.parametrize("told", [2, 5, 9, 17])
@pytest.mark.parametrize("chunk", [4, 6])
def test_a_run_that_was_cut_off_within_a_round_goes_on_to_the_bit(
    told: int, chunk: int, tmp_path: Path
) -> None:
    strategy, store = STRATEGIES["synchronous"], tmp_path / "runs.db"
    with cut_off(told):
        together(strategy, chunk=chunk, steps=24, store=store)
    result = together(strategy, chunk=chunk, steps=24, store=store)
    assert canonical(result.events) == canonical(together(strategy, chunk=chunk, steps=24).events)


@pytest.mark.parametrize("engines", [(VECTORIZED, None), (None, VECTORIZED)])
def test_a_run_goes_on_in_the_other_engine(engines: tuple[Any, Any], tmp_path: Path) -> None:
    strategy = STRATEGIES["synchronous"]
    whole = together(strategy)
    place: dict[str, Any] = {"store": tmp_path / "runs.db"}
    first, second = engines
    together(strategy, engine=first, steps=32, **place)
    result = together(strategy, engine=second, existing="extend", **place)
    assert result.population.done
    assert findings_in(tmp_path / "runs.db") == []
    before = scores(whole.events)[: 6 * 16]
    assert scores(result.events)[: 6 * 16] == pytest.approx(before, rel=1e-3)


def test_the_best_can_be_loaded_and_is_what_it_scored() -> None:
    result = together(STRATEGIES["fire"])
    w = result.best.load()["w"]
    assert -float(w @ w) == pytest.approx(result.best.score, rel=1e-5)


class Paired(Bowl):
    """Its state is a pytree with a tuple and a key in it."""

    def init(self, key: Any) -> Any:
        return super().init(key), {"key": key}

    def step(self, state: Any, hparams: Mapping[str, Any], steps: int, key: Any) -> Any:
        return super().step(state[0], hparams, steps, key), state[1]

    def evaluate(self, state: Any) -> Any:
        return super().evaluate(state[0])


@pytest.mark.parametrize("engine", [None, VECTORIZED])
def test_the_best_state_comes_back_as_the_pytree_that_it_was(engine: Any) -> None:
    task = ramet.jax.Task(Paired())
    result = together(pbt(), task=task, engine=engine)
    for snapshot in (result.best, result.final, result.members[3]):
        state = task.as_state(snapshot.load())
        begun = Paired().init(jax.random.key(0))
        assert jax.tree.structure(state) == jax.tree.structure(begun)
        assert all(map(isinstance, jax.tree.leaves(state), [jax.Array] * 2))
        assert float(Paired().evaluate(state)) == pytest.approx(snapshot.score, rel=1e-5)
    with pytest.raises(StateError, match="must be of the same pytree as the state"):
        ramet.jax.Task(Bowl()).as_state(result.best.load())


def test_a_hyperparameter_that_no_function_reads_is_said(caplog: pytest.LogCaptureFixture) -> None:
    class Ignores(Bowl):
        def step(self, state: Any, hparams: Mapping[str, Any], steps: int, key: Any) -> Any:
            return super().step(state, {"lr": hparams["lr"], "decay": 0.0}, steps, key)

    for engine in (VECTORIZED, None):
        caplog.clear()
        task = ramet.jax.Task(Ignores())
        together(STRATEGIES["random"], task=task, engine=engine, name=str(engine))
        assert "never read ['decay']" in caplog.text


@pytest.mark.parametrize(
    ("use", "name"),
    [
        (lambda h: 1 if h["lr"] > 0.1 else 2, "lr"),
        (lambda h: 1 if jnp.round(h["lr"]) > 0.1 else 2, "lr"),
        (lambda h: h["lr"].item(), "lr"),
        (lambda h: np.asarray(h["decay"]), "decay"),
        (lambda h: jnp.zeros(int(h["decay"] * 10)), "decay"),
        (lambda h: jnp.zeros((h["n"],)), "n"),
        (lambda h: jax.random.normal(jax.random.key(0), (h["n"], 2)), "n"),
        (lambda h: jnp.ones(6)[: h["n"]], "n"),
        (lambda h: jnp.ones(6).reshape(h["n"], -1), "n"),
        (lambda h: [sum(range(h["n"]))], "n"),
        (lambda h: {1: 1.0, 2: 2.0, 3: 3.0}[h["n"]], "n"),
    ],
)
@pytest.mark.parametrize("engine", [VECTORIZED, None])
def test_what_cannot_be_traced_is_named(use: Callable[[Any], Any], name: str, engine: Any) -> None:
    class Untraceable(Bowl):
        def step(self, state: Any, hparams: Mapping[str, Any], steps: int, key: Any) -> Any:
            use(hparams)
            return super().step(state, hparams, steps, key)

    space = ramet.Space(SPACE, n=ramet.Integer(1, 3))
    task = ramet.jax.Task(Untraceable())
    with pytest.raises(UsageError, match=rf"hyperparameter \['{name}'\] is used as a Python value"):
        ramet.run(task, space, STRATEGIES["random"], steps=8, mode="max", seed=0, engine=engine)


@pytest.mark.parametrize("engine", [VECTORIZED, None])
def test_what_would_raise_with_plain_numbers_too_is_raised_as_it_is(engine: Any) -> None:
    class Wrong(Bowl):
        def step(self, state: Any, hparams: Mapping[str, Any], steps: int, key: Any) -> Any:
            return super().step({"weights": state["w"]}, hparams, steps, key)

    task = ramet.jax.Task(Wrong())
    with pytest.raises(KeyError if engine else RunFailed, match="'w'"):
        together(STRATEGIES["random"], task=task, engine=engine)


@pytest.mark.parametrize("engine", [VECTORIZED, None])
def test_a_step_that_returns_nothing_is_refused(engine: Any) -> None:
    class Forgets(Bowl):
        def step(self, state: Any, hparams: Mapping[str, Any], steps: int, key: Any) -> Any:
            super().step(state, hparams, steps, key)

    with pytest.raises(UsageError, match="must return the state, but it returned None"):
        together(STRATEGIES["random"], task=ramet.jax.Task(Forgets()), engine=engine)


def test_an_init_that_cannot_be_traced_is_refused() -> None:
    class Draws(Bowl):
        def init(self, key: Any) -> Any:
            return super().init(key) if jax.random.uniform(key) > 0.5 else {}

    with pytest.raises(UsageError, match="a task's init must be traceable"):
        together(STRATEGIES["random"], task=ramet.jax.Task(Draws()))


def test_what_optax_holds_is_the_tasks_own_in_both_engines() -> None:
    """Values go to where a step reads them, and nowhere by their name."""
    optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=0.01)

    class Injected(Bowl):
        def init(self, key: Any) -> Any:
            w = jax.random.normal(key, (3,))
            return {"w": w, "opt": optimizer.init(w)}

        def step(self, state: Any, hparams: Mapping[str, Any], steps: int, key: Any) -> Any:
            def one(_: Any, now: Any) -> Any:
                updates, opt = optimizer.update(now["w"], now["opt"])
                return {"w": now["w"] + updates, "opt": opt}

            return jax.lax.fori_loop(0, steps, one, state)

    space = ramet.Space(learning_rate=ramet.Uniform(0.1, 0.5))
    task = ramet.jax.Task(Injected())
    by_engine = [
        ramet.run(task, space, STRATEGIES["random"], steps=8, mode="max", seed=0, engine=engine)
        for engine in (VECTORIZED, None)
    ]
    assert scores(by_engine[0].events) == pytest.approx(scores(by_engine[1].events), rel=1e-5)


def test_a_hyperparameter_that_is_no_number_is_named() -> None:
    space = ramet.Space(lr=ramet.LogUniform(1e-3, 0.5), decay=ramet.Choice(["low", "high"]))
    with pytest.raises(UsageError, match=r"must be numbers, but 'decay' may be 'low'"):
        ramet.run(
            ramet.jax.Task(Bowl()),
            space,
            STRATEGIES["random"],
            steps=8,
            mode="max",
            engine=VECTORIZED,
        )


@pytest.mark.parametrize(
    ("settings", "law"),
    [
        ({"engine": "threads"}, "engine must be a value, .* but got 'threads'"),
        ({"workers": 2}, "must have one of the two, but got both, workers=2"),
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
        ramet.Vectorized(chunk=chunk)


SHARDED = """
import jax, ramet, ramet.jax
from tests.engine.loops import pbt
from tests.jax.tasks import SPACE, Bowl
assert len(jax.devices()) == 4
strategy = pbt(synchronous=True, evaluate_every=2)
for shard in (True, False):
    for chunk in (1, 2, "auto"):
        engine = ramet.Vectorized(chunk=chunk, shard=shard)
        settings = {"steps": 64, "mode": "max", "seed": 0, "engine": engine}
        result = ramet.run(ramet.jax.Task(Bowl()), SPACE, strategy, **settings)
        print(f"{result.best.score:.4f}", result.population.copies)
"""


@pytest.mark.slow
def test_members_can_be_spread_over_devices() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SHARDED],
        # The devices are those of a CPU, also where there is a GPU.
        env={
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(set(ran.stdout.splitlines())) == 1


def scarce(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Have a device on which no more than so many members fit at once."""
    call = Program._call  # noqa: SLF001 - a device that is full is not to be had otherwise

    def called(program: Program, chunk: int, *args: Any) -> Any:
        if chunk > most:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return call(program, chunk, *args)

    monkeypatch.setattr(Program, "_call", called)


def test_no_more_are_mapped_at_once_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = STRATEGIES["synchronous"]
    expected = decisions(together(strategy))
    scarce(monkeypatch, 2)
    assert decisions(together(strategy, chunk="auto")) == expected


@pytest.mark.parametrize(
    ("chunk", "most", "law"),
    [
        (6, 2, "6 do not, and 1 would"),
        (4, 2, "3 do not, and 1 would"),
        (4, 0, "not even one member at a time"),
        ("auto", 0, "not even one member at a time .* the states of all 6, 16 bytes each"),
    ],
)
def test_what_does_not_fit_is_said_with_what_does(
    chunk: Any, most: int, law: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scarce(monkeypatch, most)
    with pytest.raises(UsageError, match=law):
        together(STRATEGIES["synchronous"], task=ramet.jax.Task(Bowl()), chunk=chunk)


def test_what_is_no_hyperparameters_fault_is_not_blamed_on_one() -> None:
    class Untraceable(Bowl):
        def step(self, state: Any, hparams: Mapping[str, Any], steps: int, key: Any) -> Any:
            after = super().step(state, hparams, steps, key)
            return after if state["w"][0] > 0 else state

    task = ramet.jax.Task(Untraceable())
    with pytest.raises(UsageError, match="something else that is traced is used as a Python value"):
        together(STRATEGIES["random"], task=task)


@pytest.mark.parametrize("engine", [VECTORIZED, None])
@pytest.mark.parametrize(
    ("changed", "law"),
    [
        ({"seen": jnp.zeros(())}, r"'seen' was int32\(\) and became float32\(\)"),
        ({"w": jnp.zeros(4)}, r"'w' was float32\(3,\) and became float32\(4,\)"),
        ({"more": jnp.zeros(4)}, r"\[\] were lost and \['more'\] are new"),
    ],
)
def test_a_step_that_makes_another_kind_of_state_is_refused(
    changed: dict[str, Any], law: str, engine: Any
) -> None:
    class Changes(Bowl):
        def step(self, state: Any, hparams: Mapping[str, Any], steps: int, key: Any) -> Any:
            first = {"w": state["w"][:3], "seen": jnp.asarray(state["seen"], jnp.int32)}
            return {**super().step(first, hparams, steps, key), **changed}

    with pytest.raises(UsageError, match=law):
        together(STRATEGIES["random"], task=ramet.jax.Task(Changes()), engine=engine)


@pytest.mark.parametrize("engine", [VECTORIZED, None])
def test_code_in_a_state_is_refused_with_what_to_do(engine: Any) -> None:
    class Model(Bowl):
        def init(self, key: Any) -> Any:
            return eqx.nn.MLP(2, 1, 4, 1, key=key)

    with pytest.raises(UsageError, match=r"must .* return a pytree of arrays and nothing else"):
        together(STRATEGIES["random"], task=ramet.jax.Task(Model()), engine=engine)


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_keys_in_a_state_follow_their_member_through_a_file(impl: str, tmp_path: Path) -> None:
    class Draws(Bowl):
        def init(self, key: Any) -> Any:
            seed = jax.random.bits(key, dtype=jnp.uint32)
            return {**super().init(key), "key": jax.random.key(seed, impl=impl)}

        def step(self, state: Any, hparams: Mapping[str, Any], steps: int, key: Any) -> Any:
            own, drawn = jax.random.split(state["key"])
            after = super().step({"w": state["w"], "seen": state["seen"]}, hparams, steps, key)
            w = after["w"] + 0.01 * jax.random.normal(drawn, (3,))
            return {**after, "w": w, "key": own}

    task = ramet.jax.Task(Draws())
    whole = together(STRATEGIES["synchronous"], task=task, steps=16, chunk=6)
    store = tmp_path / "runs.db"
    together(STRATEGIES["synchronous"], task=task, steps=8, store=store, chunk=6)
    again = together(
        STRATEGIES["synchronous"], task=task, steps=16, existing="extend", engine=None, store=store
    )
    assert scores(again.events)[:24] == pytest.approx(scores(whole.events)[:24], rel=1e-4)


class Layers(Bowl):
    """Has a rate for each number of the state, and a decay for each of two groups."""

    def step(
        self, state: dict[str, Any], hparams: Mapping[str, Any], steps: int, key: jax.Array
    ) -> dict[str, Any]:
        assert hparams["lr"].shape == (3,)
        decay = {"decay": hparams["decay"]["body"] + hparams["decay"]["head"]}
        return super().step(state, {"lr": hparams["lr"], **decay}, steps, key)


LAYERS = ramet.Space(
    lr=ramet.Array(ramet.LogUniform(1e-3, 0.5), 3),
    decay=ramet.Array(ramet.Uniform(0.0, 0.5), ["body", "head"], together=True),
    limits=[ramet.AtMost("lr[0]", "lr[1]")],
)


@pytest.mark.parametrize("chunk", [1, 4, 6])
def test_an_array_has_one_more_axis(chunk: int) -> None:
    settings: dict[str, Any] = {"steps": 32, "mode": "max", "seed": 0}
    strategy, task = pbt(synchronous=True), ramet.jax.Task(Layers())
    one_by_one = ramet.run(task, LAYERS, strategy, **settings)

    engine = ramet.Vectorized(chunk=chunk)
    result = ramet.run(task, LAYERS, strategy, engine=engine, **settings)

    assert decisions(result) == decisions(one_by_one)
    assert result.population.unread == ()


def test_a_space_with_conditions_is_refused_before_training() -> None:
    space = ramet.Space(
        kind=ramet.Choice([0, 1]), lr=ramet.When(ramet.LogUniform(1e-3, 0.5), kind=1)
    )
    for engine in (None, VECTORIZED):
        with pytest.raises(UsageError, match=r"\['lr'\] depend on others"):
            ramet.run(
                ramet.jax.Task(Bowl()), space, pbt(), steps=8, mode="max", seed=0, engine=engine
            )


@pytest.mark.skipif(jax.default_backend() != "gpu", reason="needs a GPU")
@pytest.mark.parametrize("name", ["synchronous", "fire"])
def test_what_a_gpu_trains_while_the_last_round_is_written_comes_to_the_same(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for least in (math.inf, -1.0):
        monkeypatch.setattr(vectorized, "LEAST_TRAINING", least)
        result = together(STRATEGIES[name], steps=320)
        assert decisions(result)
        # With the digests of all states.
        found.append(canonical(result.events))
    assert found[0] == found[1]
