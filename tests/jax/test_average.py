"""Averaged weights of a pytree and of a task in JAX."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp

import ramet
import ramet.jax
from ramet.averaging import Average
from ramet.errors import StateError, UsageError
from ramet.events import Copied
from ramet.state import decode, encode
from tests.values import alike

RATES = ramet.Space(lr=ramet.LogUniform(1e-3, 0.3))
PBT = ramet.PBT(population=6, turn_steps=5, synchronous=True)
KINDS = [
    ramet.PolynomialAverage(power=4, of="w"),
    ramet.ExponentialAverage(decay=0.8, of="w"),
]


def written(state: ramet.jax.State) -> Any:
    return decode(b"".join(map(bytes, encode(state.capture()))))


def state_of(average: Average = KINDS[0]) -> ramet.jax.State:
    return ramet.jax.State({"w": jnp.zeros(2), "seen": jnp.zeros((), jnp.int32)}, average=average)


def advance(state: ramet.jax.State, steps: int = 1) -> None:
    for _ in range(steps):
        state.value = {"w": 0.9 * state.value["w"] + 1.0, "seen": state.value["seen"] + 1}
        state.update_average()


@pytest.mark.parametrize("average", KINDS, ids=str)
def test_the_average_is_of_the_weights_after_each_step(average: Average) -> None:
    state, expected = state_of(average), np.zeros(2)
    for t in range(1, 8):
        advance(state)
        expected += average.share(t) * (np.asarray(state.value["w"]) - expected)
    before = state.value
    with state.averaged():
        np.testing.assert_allclose(state.value["w"], expected, rtol=1e-5)
        assert state.value["seen"] == 7
        with state.averaged():
            np.testing.assert_allclose(state.value["w"], expected, rtol=1e-5)
    assert state.value is before

    def evaluate() -> None:
        with state.averaged():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate()
    assert state.value is before


def test_what_evaluates_may_consume_the_average() -> None:
    state = state_of()
    advance(state, 3)
    with state.averaged():
        shown = np.array(state.value["w"])
        jax.jit(lambda w: w + 1, donate_argnums=0)(state.value["w"])
    with state.averaged():
        np.testing.assert_array_equal(state.value["w"], shown)


@pytest.mark.parametrize("average", KINDS, ids=str)
def test_going_on_from_a_checkpoint_is_the_same_to_the_bit(average: Average) -> None:
    one, other = state_of(average), state_of(average)
    advance(one, 5)
    saved = written(one)
    advance(one, 4)
    advance(other, 2)
    other.restore(saved)
    assert alike(written(other), saved)
    advance(other, 4)
    assert alike(written(other), written(one))


def test_another_average_is_not_restored() -> None:
    one = state_of(ramet.PolynomialAverage(power=4, of="w"))
    advance(one)
    saved = written(one)
    for average in (ramet.PolynomialAverage(power=8, of="w"), ramet.ExponentialAverage(of="w")):
        other = state_of(average)
        with pytest.raises(StateError, match=r"a PolynomialAverage\(power=4.*and the state a"):
            other.restore(saved)
        assert other.value["seen"] == 0
    with pytest.raises(StateError, match="it has none that was saved by ramet"):
        state_of().restore(saved["value"])
    with pytest.raises(StateError, match=r"only the checkpoint has \['average', 'value'\]"):
        ramet.jax.State(one.value).restore(saved)


def test_narrow_weights_are_averaged_as_wide_numbers() -> None:
    state = ramet.jax.State({"w": jnp.zeros(1, jnp.bfloat16)}, average=ramet.PolynomialAverage(0))
    for step in range(1_000):
        state.value = {"w": jnp.full(1, 1.0 if step < 500 else 2.0, jnp.bfloat16)}
        state.update_average()
    with state.averaged():
        assert float(state.value["w"][0]) == pytest.approx(1.5, abs=0.01)
        assert state.value["w"].dtype == jnp.bfloat16


def test_a_state_with_more_than_weights_must_name_them() -> None:
    value = {"w": jnp.zeros(1), "opt": {"count": jnp.zeros((), jnp.int32)}}
    with pytest.raises(StateError, match=r"keys in \['opt\.count'\]; name .* of \['w'\]: of='w'"):
        ramet.jax.State(value, average=ramet.PolynomialAverage())
    with pytest.raises(StateError, match=r"nothing to average in 'opt'; it has weights in \['w'"):
        ramet.jax.State(value, average=ramet.PolynomialAverage(of="opt"))
    with pytest.raises(StateError, match=r"must be ramet\.PolynomialAverage\(power=8\) or"):
        ramet.jax.State(value, average=0.999)
    ramet.jax.State((value["w"], value["opt"]), average=ramet.PolynomialAverage(of="0"))


def test_modules_of_nnx_hold_the_average_and_get_their_weights_back() -> None:
    nnx = pytest.importorskip("flax.nnx")
    optax = pytest.importorskip("optax")
    model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(0.1), wrt=nnx.Param)
    state = ramet.jax.State((model, optimizer), average=ramet.PolynomialAverage(power=0, of="0"))
    rows = []
    for step in range(4):
        grads = nnx.grad(lambda model: model(jnp.ones(2)).sum())(model)
        optimizer.update(model, grads)
        state.update_average()
        rows.append(np.array(model.kernel[...]))
        del step
    with state.averaged():
        np.testing.assert_allclose(model.kernel[...], np.mean(rows, axis=0), rtol=1e-5)
    np.testing.assert_array_equal(model.kernel[...], rows[-1])
    saved = written(state)
    with state.averaged():
        pass
    assert alike(written(state), saved)


def loop(body: Callable[[ramet.Turn, ramet.jax.State], None]) -> Callable[[ramet.Session], None]:
    def train(session: ramet.Session) -> None:
        state = ramet.jax.State(
            {"w": jnp.asarray(session.rng.normal(size=2), jnp.float32)},
            average=ramet.PolynomialAverage(power=4),
        )
        for turn in session.turns(state):
            for _ in turn:
                noise = turn.rng.normal(size=2).astype(np.float32)
                lr = turn.hparams["lr"]
                state.value = {"w": state.value["w"] - lr * (state.value["w"] + noise)}
                body(turn, state)

    return train


def run(train: Any, **settings: Any) -> ramet.Result:
    return ramet.run(train, RATES, PBT, steps=40, mode="min", seed=0, **settings)


def report_average(turn: ramet.Turn, state: ramet.jax.State) -> None:
    state.update_average()
    with state.averaged():
        turn.report(jnp.sum(state.value["w"] ** 2))


def test_scores_and_the_best_are_those_of_the_average() -> None:
    result = run(loop(report_average))
    assert any(isinstance(event, Copied) for event in result.events)
    state = ramet.jax.State({"w": jnp.zeros(2)}, average=ramet.PolynomialAverage(power=4))
    result.best.load(into=state)
    with state.averaged():
        assert float(jnp.sum(state.value["w"] ** 2)) == result.best.score


def test_an_average_that_is_forgotten_is_refused() -> None:
    def never(turn: ramet.Turn, state: ramet.jax.State) -> None:
        with state.averaged():
            turn.report(0.0)

    with pytest.raises(StateError, match=r"not updated in a turn; call state\.update_average\(\)"):
        run(loop(never))

    def own(turn: ramet.Turn, state: ramet.jax.State) -> None:
        state.update_average()
        turn.report(0.0)

    with pytest.raises(StateError, match=r"without with state\.averaged\(\).*scored=False\)"):
        run(loop(own))

    def within(turn: ramet.Turn, state: ramet.jax.State) -> None:
        with state.averaged():
            state.update_average()

    with pytest.raises(StateError, match="weights must be trained outside of with state"):
        run(loop(within))


def test_a_state_without_an_average_says_how_it_is_made() -> None:
    state = ramet.jax.State({"w": jnp.zeros(1)})
    for use in (state.update_average, state.averaged().__enter__):
        with pytest.raises(StateError, match=r"write ramet\.jax\.State\(.*average=ramet\.Poly"):
            use()


class Descent:
    """Descent in a bowl with noise, in the functions of a task."""

    def init(self, key: jax.Array) -> dict[str, Any]:
        return {"w": jax.random.normal(key, (3,)), "seen": jnp.zeros((), jnp.int32)}

    def step(
        self, state: dict[str, Any], hparams: Mapping[str, Any], steps: int, key: jax.Array
    ) -> dict[str, Any]:
        w = state["w"]
        moved = w - hparams["lr"] * (w + jax.random.normal(key, (3,)))
        return {"w": moved, "seen": state["seen"] + 1}

    def evaluate(self, state: dict[str, Any]) -> jax.Array:
        return jnp.sum(state["w"] ** 2)


@pytest.mark.parametrize("average", [None, *KINDS], ids=str)
def test_a_run_is_confirmed_by_the_weights_that_scores_are_of(average: Average | None) -> None:
    task = ramet.jax.Task(Descent(), average=average)
    raw = run(task, engine=ramet.Vectorized(chunk=6))
    assert task.evaluate(raw.best.load()) == pytest.approx(raw.best.score)

    def measure(state: Any, rng: np.random.Generator) -> jax.Array:
        return Descent().evaluate(task.as_state(state)) + 1e-3 * rng.normal()

    result = ramet.confirm(measure, raw, top=3)
    for candidate in result.population.confirmation.candidates:
        assert candidate.mean == pytest.approx(candidate.score, abs=5e-3)
    assert ramet.confirm(task, raw, top=3).events == result.events


@pytest.mark.parametrize("average", KINDS, ids=str)
def test_a_task_evaluates_the_average_in_every_engine(average: Average) -> None:
    task = ramet.jax.Task(Descent(), average=average)
    alone = run(task)
    together = run(task, engine=ramet.Vectorized(chunk=6))
    assert alone.best.score == pytest.approx(together.best.score, rel=1e-4)
    for result in (alone, together):
        tree = result.best.load()
        assert float(jnp.sum(task.as_state(tree)["w"] ** 2)) == pytest.approx(result.best.score)
        own = task.as_state(tree, averaged=False)
        assert own["seen"] == 40
        assert float(jnp.sum(own["w"] ** 2)) != pytest.approx(result.best.score)


def test_a_task_averages_after_each_step() -> None:
    average = KINDS[0]
    functions = ramet.jax.Task(Descent(), average=average).functions
    state, key = functions.init(jax.random.key(0)), jax.random.key(1)
    weights, mean = state["trained"]["w"], np.zeros(3)
    for t in range(5):
        noise = jax.random.normal(jax.random.fold_in(key, t), (3,))
        weights = weights - 0.1 * (weights + noise)
        mean += average.share(t + 1) * (np.asarray(weights) - mean)
    after = functions.step(state, {"lr": 0.1}, 5, key)
    np.testing.assert_allclose(functions.unwrap(after, averaged=True)["w"], mean, rtol=1e-5)
    np.testing.assert_allclose(functions.unwrap(after, averaged=False)["w"], weights, rtol=1e-5)


def test_a_task_may_be_scored_by_its_own_weights() -> None:
    average = ramet.PolynomialAverage(of="w", scored=False)
    task = ramet.jax.Task(Descent(), average=average)
    result = run(task)
    tree = result.best.load()
    assert float(jnp.sum(task.as_state(tree)["w"] ** 2)) == pytest.approx(result.best.score)
    averaged = task.as_state(tree, averaged=True)["w"]
    assert float(jnp.sum(averaged**2)) != pytest.approx(result.best.score)


def test_a_task_goes_on_only_with_the_average_that_it_began_with(tmp_path: Any) -> None:
    where = {"store": tmp_path / "runs.db", "name": "a"}
    run(ramet.jax.Task(Descent(), average=KINDS[0]), **where)
    with pytest.raises(
        StateError,
        match=r"only the checkpoint has .*Polynomial.* and only the state has .*Exponential",
    ):
        ramet.run(
            ramet.jax.Task(Descent(), average=KINDS[1]),
            RATES,
            PBT,
            steps=60,
            mode="min",
            seed=0,
            existing="extend",
            **where,
        )


def test_mistakes_in_a_task_are_explained() -> None:
    class Lost(Descent):
        def step(self, *args: Any) -> Any:
            del args

    class Grown(Descent):
        def step(self, state: Any, *args: Any) -> Any:
            return {**state, "w": jnp.zeros(4)}

    with pytest.raises(UsageError, match="must return the state, but it returned None"):
        run(ramet.jax.Task(Lost(), average=KINDS[0]))
    with pytest.raises(UsageError, match=r"'w' was float32\(3,\) and became float32\(4,\)"):
        run(ramet.jax.Task(Grown(), average=KINDS[0]))
    with pytest.raises(StateError, match=r"keys in \['seen'\]; name the weights.* of='w'"):
        run(ramet.jax.Task(Descent(), average=ramet.PolynomialAverage()))
    with pytest.raises(StateError, match=r"write ramet\.jax\.Task\(functions, average="):
        ramet.jax.Task(Descent()).as_state(
            run(ramet.jax.Task(Descent())).best.load(), averaged=True
        )


def test_infinite_entries_stay_and_others_are_averaged() -> None:
    value = {"w": jnp.zeros(2), "mask": jnp.array([0.0, -jnp.inf])}
    state = ramet.jax.State({"w": jnp.full(2, jnp.nan), "mask": value["mask"]}, average=KINDS[0])
    for number in (1.0, 2.0, 3.0):
        state.value = {"w": jnp.full(2, number), "mask": value["mask"]}
        state.update_average()
    with state.averaged():
        assert bool(jnp.isfinite(state.value["w"]).all())
        assert state.value["mask"].tolist() == [0.0, -np.inf]


def test_a_value_that_is_assigned_while_the_average_is_in_use_is_refused() -> None:
    state = ramet.jax.State({"w": jnp.zeros(2)}, average=KINDS[0])
    state.update_average()
    with pytest.raises(StateError, match="a value must be assigned outside"), state.averaged():
        state.value = {"w": jnp.ones(2)}
    assert state.value["w"].tolist() == [0.0, 0.0]


def test_weights_that_change_their_shape_are_refused() -> None:
    state = ramet.jax.State({"w": jnp.zeros(1)}, average=KINDS[0])
    state.value = {"w": jnp.zeros(4)}
    with pytest.raises(StateError, match=r"'w' had \(1,\) and now has \(4,\)"):
        state.update_average()
