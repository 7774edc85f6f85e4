"""Pytrees as states."""

import random
import warnings
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
import optax
import pytest
from flax import linen, nnx
from jax import numpy as jnp

import ramet
from ramet import warned
from ramet.errors import (
    HyperparameterOverwritten,
    StateError,
    StateWarning,
    UnknownHyperparameter,
)
from ramet.jax import State
from ramet.state.codec import decode, encode
from ramet.state.tree import Tree

X = np.linspace(-1, 1, 64, dtype=np.float32).reshape(16, 4)
Y = np.sin(3 * X).sum(axis=1, keepdims=True)


def through_a_file(tree: Tree) -> Tree:
    return decode(b"".join(map(bytes, encode(tree))))


def equal(one: Any, other: Any) -> bool:
    return jax.tree.structure(one) == jax.tree.structure(other) and all(
        (np.asarray(a) == np.asarray(b)).all()
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


def mlp() -> tuple[Any, Any]:
    """Parameters of a Linen module, and how the loss depends on them."""
    model = linen.Dense(1)

    def loss(params: Any) -> jax.Array:
        return jnp.mean((model.apply(params, X) - Y) ** 2)

    return model.init(jax.random.key(0), X), loss


CHAINS = {
    "sgd": optax.sgd(0.1, momentum=0.9),
    "adamw": optax.adamw(1e-2),
    "chain": optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.scale_by_adam(),
        optax.scale_by_schedule(optax.cosine_decay_schedule(-1e-2, 40)),
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_going_on_from_a_checkpoint_gives_the_losses_of_never_having_stopped(name: str) -> None:
    params, loss = mlp()
    optimizer = CHAINS[name]

    @jax.jit
    def step(value: Any) -> tuple[Any, jax.Array]:
        found, slopes = jax.value_and_grad(loss)(value["params"])
        updates, after = optimizer.update(slopes, value["opt"], value["params"])
        return {"params": optax.apply_updates(value["params"], updates), "opt": after}, found

    state = State({"params": params, "opt": optimizer.init(params)})
    losses, saved = [], None
    for nth in range(20):
        if nth == 10:
            saved = through_a_file(state.capture())
        state.value, found = step(state.value)
        losses.append(float(found))

    fresh, _ = mlp()
    other = State({"params": fresh, "opt": optimizer.init(fresh)})
    other.restore(saved)
    again = []
    for _ in range(10):
        other.value, found = step(other.value)
        again.append(float(found))
    assert again == losses[10:]


def test_code_in_a_pytree_stays_and_numbers_come_back_as_what_they_are() -> None:
    key = jax.random.key(7)
    value = {"w": jnp.ones((2, 2), jnp.bfloat16), "key": key, "n": 3, "act": jax.nn.relu}
    state = State(value)
    tree = through_a_file(state.capture())
    state.value = {**value, "w": jnp.zeros((2, 2), jnp.bfloat16), "key": jax.random.key(0), "n": 0}
    state.restore(tree)
    assert state.value["act"] is jax.nn.relu
    assert state.value["n"] == 3
    assert type(state.value["n"]) is int
    assert (state.value["w"] == 1).all()
    assert state.value["w"].dtype == jnp.bfloat16
    assert (jax.random.key_data(state.value["key"]) == jax.random.key_data(key)).all()


def test_the_best_of_a_run_is_loaded_into_a_state_built_as_for_training() -> None:
    optimizer = optax.adam(1e-2)

    def built(seed: int) -> State:
        params = {"w": jax.random.normal(jax.random.key(seed), (4, 1))}
        return State((params, optimizer.init(params)))

    def loss(params: Any) -> jax.Array:
        return jnp.mean((X @ params["w"] - Y) ** 2)

    def train(session: ramet.Session) -> None:
        state = built(session.seed)
        for turn in session.turns(state):
            for _ in turn:
                params, opt = state.value
                updates, opt = optimizer.update(jax.grad(loss)(params), opt)
                updates = jax.tree.map(lambda each, by=turn.hparams["by"]: by * each, updates)
                state.value = optax.apply_updates(params, updates), opt
            turn.report(loss(state.value[0]))

    strategy = ramet.RandomSearch(population=2, turn_steps=4)
    space = ramet.Space(by=ramet.Uniform(0.5, 2.0))
    result = ramet.run(train, space, strategy, steps=8, mode="min", seed=0)
    params, opt = result.best.load(into=built(99)).value
    assert float(loss(params)) == result.best.score
    assert jax.tree.structure(opt) == jax.tree.structure(optimizer.init(params))
    with pytest.raises(StateError, match=r"into=ramet.jax.State\(params\)"):
        result.best.load(into={"w": jnp.zeros((4, 1))})


def test_equinox_modules_come_back_as_modules() -> None:
    model = eqx.nn.MLP(2, 1, 4, 1, key=jax.random.key(0))
    state = State(eqx.nn.MLP(2, 1, 4, 1, key=jax.random.key(1)))
    state.restore(through_a_file(State(model).capture()))
    assert isinstance(state.value, eqx.nn.MLP)
    at = jnp.ones(2)
    assert state.value(at) == model(at)


class Net(nnx.Module):
    def __init__(self, seed: int) -> None:
        rngs = nnx.Rngs(seed)
        self.layer = nnx.Linear(4, 1, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)


def test_modules_of_nnx_are_restored_in_place_with_their_optimizer() -> None:
    injected = optax.inject_hyperparams(optax.adam)(learning_rate=0.1)

    def made(seed: int) -> tuple[Net, nnx.Optimizer]:
        model = Net(seed)
        return model, nnx.Optimizer(model, injected, wrt=nnx.Param)

    def train(model: Net, optimizer: nnx.Optimizer) -> float:
        def loss(model: Net) -> jax.Array:
            return jnp.mean((model.dropout(model.layer(X)) - Y) ** 2)

        found, slopes = nnx.value_and_grad(loss)(model)
        optimizer.update(model, slopes)
        return float(found)

    model, optimizer = made(0)
    state = State((model, optimizer), bind={"lr": "learning_rate"})
    state.apply({"lr": 0.01})
    train(model, optimizer)
    tree = through_a_file(state.capture())
    expected = [train(model, optimizer) for _ in range(5)]

    other, its_optimizer = made(1)
    restored = State((other, its_optimizer), bind={"lr": "learning_rate"})
    restored.restore(tree)
    assert restored.value[0] is other
    assert [train(other, its_optimizer) for _ in range(5)] == expected
    restored.apply({"lr": 0.5})
    assert restored.read_back() == {"lr": 0.5}


def test_injected_hyperparameters_are_set_by_their_name_or_as_bound() -> None:
    optimizer = optax.chain(
        optax.clip(1.0), optax.inject_hyperparams(optax.adamw)(learning_rate=0.1)
    )
    before = optimizer.init({"w": jnp.ones(2)})
    state = State(before, bind={"lr": "learning_rate"})
    state.apply({"lr": 0.5, "weight_decay": 0.25, "batch": 32})
    assert state.read_back() == {"lr": 0.5, "weight_decay": 0.25}
    assert float(state.value[1].hyperparams["learning_rate"]) == 0.5
    # What others hold of the state is as it was.
    assert float(before[1].hyperparams["learning_rate"]) == pytest.approx(0.1)


def test_binding_nothing_sets_nothing() -> None:
    optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=0.1)
    state = State(optimizer.init(jnp.ones(1)), bind={})
    state.apply({"learning_rate": 0.5})
    assert state.read_back() == {}
    assert float(state.value.hyperparams["learning_rate"]) == pytest.approx(0.1)


def test_an_explored_rate_is_what_the_next_step_uses() -> None:
    """Which a restored optimizer state would undo, where values are not applied behind it."""
    optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=0.1)

    def train(session: ramet.Session) -> None:
        w = {"w": jnp.ones(())}
        state = State({"w": w, "opt": optimizer.init(w)}, bind={"lr": "learning_rate"})
        for turn in session.turns(state):
            list(turn)
            at = float(state.value["w"]["w"])
            updates, opt = optimizer.update({"w": jnp.ones(())}, state.value["opt"])
            state.value = {"w": optax.apply_updates(state.value["w"], updates), "opt": opt}
            assert at - float(state.value["w"]["w"]) == pytest.approx(turn.hparams["lr"], rel=1e-3)
            turn.report(-float(state.value["w"]["w"]))

    space = ramet.Space(lr=ramet.LogUniform(1e-3, 0.5))
    strategy = ramet.PBT(population=5, turn_steps=1, synchronous=True)
    result = ramet.run(train, space, strategy, steps=10, mode="max", seed=0)
    assert result.population.copies > 5


def test_nothing_compiles_anew_for_another_value() -> None:
    optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=0.1)
    state = State(optimizer.init(jnp.ones(3)), bind={"lr": "learning_rate"})
    traced = []

    @jax.jit
    def update(value: Any) -> Any:
        traced.append(1)
        return optimizer.update(jnp.ones(3), value)

    for lr in (0.1, 0.2, 0.3):
        state.apply({"lr": lr})
        updates, state.value = update(state.value)
        assert updates == pytest.approx(-lr)
        state.restore(state.capture())
    assert len(traced) <= 2


@pytest.mark.parametrize(
    ("other", "law"),
    [
        ({"w": jnp.zeros(3)}, r"'w' was saved as \(2,\) and is \(3,\) now"),
        ({"v": jnp.zeros(2)}, r"only the checkpoint has \['w'\] and only the state has \['v'\]"),
    ],
)
def test_a_checkpoint_of_another_structure_is_refused_and_nothing_changes(
    other: Any, law: str
) -> None:
    tree = State({"w": jnp.ones(2)}).capture()
    state = State(other)
    with pytest.raises(StateError, match=law):
        state.restore(tree)
    assert equal(state.value, other)


def test_a_value_that_one_of_several_optimizers_lost_is_noticed() -> None:
    optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=0.1)
    state = State([optimizer.init(jnp.ones(1)), optimizer.init(jnp.ones(2))])
    state.apply({"learning_rate": 0.5})
    assert state.read_back() == {"learning_rate": 0.5}
    for nth in range(2):
        state.apply({"learning_rate": 0.5})
        state.value[nth].hyperparams["learning_rate"] = jnp.float32(0.25)
        assert state.read_back() == {"learning_rate": 0.25}


def test_a_schedule_that_sets_a_hyperparameter_is_named_with_what_to_do() -> None:
    schedule = optax.cosine_decay_schedule(0.1, 10)
    optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=schedule)

    def train(session: ramet.Session) -> None:
        w = jnp.ones(2)
        state = State({"w": w, "opt": optimizer.init(w)}, bind={"lr": "learning_rate"})
        for turn in session.turns(state):
            for _ in turn:
                _, state.value["opt"] = optimizer.update(w, state.value["opt"])
            turn.report(0.0)

    space = ramet.Space(lr=ramet.LogUniform(1e-3, 0.5))
    strategy = ramet.RandomSearch(population=2, turn_steps=2)
    with pytest.raises(HyperparameterOverwritten, match="has a schedule for 'learning_rate'"):
        ramet.run(train, space, strategy, steps=4, mode="max", seed=0)


def test_what_others_set_is_not_said_to_be_a_schedule() -> None:
    optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=0.1)
    state = State(optimizer.init(jnp.ones(1)))
    state.apply({"learning_rate": 0.5})
    assert state.explain("learning_rate") is None


@pytest.mark.parametrize("stray", [3, jnp.ones(2), {"w": np.ones(2)}])
def test_what_is_beside_modules_of_nnx_must_be_restorable_in_place(stray: Any) -> None:
    with pytest.raises(StateError, match="a state must hold what can be restored in place"):
        State((Net(0), stray))
    assert State((Net(0), nnx.Variable(jnp.ones(2)), nnx.Rngs(0))).capture()


def test_what_is_bound_must_be_there() -> None:
    optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=0.1)
    value = optimizer.init(jnp.ones(1))
    with pytest.raises(StateError, match=r"the state has \['learning_rate'\], but \['rate'\]"):
        State(value, bind={"lr": "rate"})
    with pytest.raises(UnknownHyperparameter, match=r"but \['lr'\] are bound"):
        State(value, bind={"lr": "learning_rate"}).apply({"momentum": 0.9})


def test_a_value_may_be_held_in_fewer_bits() -> None:
    optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=0.1)
    state = State(optimizer.init(jnp.ones(2, jnp.bfloat16)), bind={"lr": "learning_rate"})
    state.apply({"lr": 0.0123})
    assert state.read_back() == {"lr": 0.0123}
    state.value.hyperparams["learning_rate"] = jnp.asarray(0.5, jnp.bfloat16)
    assert state.read_back() == {"lr": 0.5}


def test_numbers_of_another_kind_are_refused() -> None:
    tree = State({"w": jnp.ones(2) * 1.7}).capture()
    with pytest.raises(StateError, match="'w' was saved as float32 and is int32 now"):
        State({"w": jnp.ones(2, jnp.int32)}).restore(tree)


def test_a_generator_and_text_in_a_pytree_follow_like_its_numbers() -> None:
    def begun(seed: int, phase: str) -> State:
        return State({"w": jnp.ones(2), "rng": np.random.default_rng(seed), "phase": phase})

    one, other = begun(1, "trains"), begun(2, "warms up")
    held = other.value["rng"]
    other.restore(through_a_file(one.capture()))
    assert other.value["rng"] is held
    assert held.random() == one.value["rng"].random()
    assert other.value["phase"] == "trains"


def test_what_was_captured_is_not_drawn_from() -> None:
    state = State({"rng": np.random.default_rng(1)})
    captured = state.capture()
    drawn = state.value["rng"].random()
    state.restore(captured)
    assert state.value["rng"].random() == drawn


def test_a_part_of_another_kind_is_refused() -> None:
    tree = State({"rng": np.random.default_rng(1)}).capture()
    mersenne = np.random.Generator(np.random.MT19937(0))
    with pytest.raises(StateError, match="'rng' was saved as a PCG64 and is a MT19937 now"):
        State({"rng": mersenne}).restore(tree)
    with pytest.raises(StateError, match="'rng' was saved as a PCG64 and is a str now"):
        State({"rng": "none"}).restore(tree)


def test_a_checkpoint_from_before_text_was_saved_still_fits() -> None:
    tree = State({"w": jnp.zeros(2)}).capture()
    state = State({"w": jnp.ones(2), "phase": "trains"})
    state.restore(tree)
    assert float(state.value["w"][0]) == 0.0
    assert state.value["phase"] == "trains"


@pytest.mark.parametrize("stray", [random.Random(0), np.random.RandomState(0), {1}])  # noqa: S311 - no secret
def test_what_no_checkpoint_can_hold_is_refused_with_what_to_keep_instead(stray: Any) -> None:
    said = f"but 'x' is of type {type(stray).__name__}; "
    with pytest.raises(StateError, match=said):
        State({"w": jnp.zeros(2), "x": stray})
    state = State({"w": jnp.zeros(2)})
    state.value["x"] = stray
    with pytest.raises(StateError, match=said):
        state.capture()


class Arcade:
    """A thing that may have a state, which nothing says."""


def test_an_object_that_no_checkpoint_holds_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warned, "SAID", set())
    with pytest.warns(StateWarning, match=r"in no checkpoint, .*\{'env': 'Arcade'\}") as said:
        State({"w": jnp.zeros(2), "env": Arcade()})
    assert said[0].filename == __file__


def test_functions_and_settings_are_left_out_in_silence() -> None:
    settings = {"act": jax.nn.relu, "dtype": np.dtype("f4"), "kinds": frozenset({1}), "of": Arcade}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(State({"w": jnp.zeros(2), **settings}).capture()) == ["w"]


@pytest.mark.parametrize(
    ("make_state", "found"),
    [
        (lambda params, _: params, r"state\['params'\]\['kernel'\] is of type ArrayImpl"),
        (lambda params, tx: (params, tx.init(params)), r"state\[0\]\['params'\]"),
        (lambda params, tx: {"opt": tx.init(params)}, r"state\['opt'\]\[0\] is of type "),
        (lambda _, tx: tx, "type Gradient"),
        (lambda *_: jax.random.key(0), "type PRNGKeyArray"),
        (lambda *_: eqx.nn.Linear(2, 1, key=jax.random.key(0)), "type Linear"),
    ],
)
def test_pytrees_in_place_of_a_state_are_answered_with_the_line_that_works(
    make_state: Any, found: str
) -> None:
    params, _ = mlp()

    with pytest.raises(StateError, match=found) as error:
        ramet.state.adapt(make_state(params, optax.adam(0.1)))

    assert "write state = ramet.jax.State((params, opt_state)), and in" in str(error.value)


def test_a_module_of_nnx_in_place_of_a_state_is_answered_with_the_line_that_works() -> None:
    with pytest.raises(
        StateError, match=r"is of type Linear; .* ramet\.jax\.State\(\(model, optimizer"
    ):
        ramet.state.adapt({"model": nnx.Linear(2, 1, rngs=nnx.Rngs(0))})

    model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    assert State((model, nnx.Optimizer(model, optax.adam(0.1), wrt=nnx.Param))).capture()


def test_several_pytrees_are_answered_with_one_that_has_them_all() -> None:
    with pytest.raises(StateError, match=r"got 2; .* ramet\.jax\.State\(\(params, opt_state\)\)"):
        State({"w": X}, {"m": X})


@pytest.mark.parametrize("value", [None, linen.Dense(1), optax.adam(0.1), {"tx": optax.sgd(0.1)}])
def test_a_pytree_without_arrays_is_refused(value: Any) -> None:
    with pytest.raises(StateError, match=r"with arrays in it, .* params = model\.init\(key, x\)"):
        State(value)


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (lambda params: State(params=params, opt_state=()), r"got \['params', 'opt_state'\]; "),
        (lambda _: State(), "but this NoneType has none"),
        (lambda params: ramet.state.adapt((params, params)), "with JAX, write "),
    ],
)
def test_a_state_by_other_keywords_is_answered(
    wrong: Callable[[dict[str, Any]], object], found: str
) -> None:
    with pytest.raises(StateError, match=found):
        wrong({"w": jnp.zeros(2)})


def test_pytrees_given_to_turns_one_by_one_are_answered_for_jax() -> None:
    def train(session: ramet.Session) -> None:
        session.turns({"w": jnp.zeros(2)}, {"m": jnp.zeros(2)})

    with pytest.raises(StateError, match=r"got dict, dict; with JAX, write state = ramet\.jax\."):
        ramet.run(
            train,
            {"lr": ramet.Uniform(0.0, 1.0)},
            ramet.RandomSearch(population=1, turn_steps=1),
            steps=1,
            mode="max",
        )
