"""A state is a tree: copied, named, put back, and refused where it is anything else."""

import collections
import math
import random
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ramet
from ramet.errors import CheckpointDamaged, HyperparameterOverwritten, StateError
from ramet.space import Hparams
from ramet.state import (
    Bound,
    Held,
    State,
    Variables,
    adapt,
    check_applied,
    decode,
    encode,
    freeze,
    thaw,
)
from ramet.state.generators import RESTORES_SEEDS
from ramet.state.tree import restore_into
from tests import values
from tests.values import alike, sharing


@given(tree=values.trees)
def test_a_frozen_tree_is_the_tree(tree: Any) -> None:
    frozen = freeze(tree)

    assert alike(frozen, tree)
    assert sharing(frozen) == sharing(tree)


@given(tree=values.trees)
def test_a_thawed_tree_is_the_tree(tree: Any) -> None:
    thawed = thaw(freeze(tree))

    assert alike(thawed, tree)
    assert sharing(thawed) == sharing(tree)


def test_a_frozen_tree_does_not_follow_the_training() -> None:
    live: dict[str, Any] = {"w": np.zeros(2), "layers": [{"b": np.zeros(())}]}
    frozen = freeze(live)

    live["w"] += 1
    live["layers"][0]["b"] += 1
    live["layers"].append("more")

    assert alike(frozen, {"w": np.zeros(2), "layers": [{"b": np.zeros(())}]})


def test_a_frozen_array_cannot_be_written_on() -> None:
    with pytest.raises(ValueError, match="read-only"):
        freeze({"w": np.zeros(2)})["w"][0] = 1.0


def test_a_thawed_tree_can_be_changed_and_shares_no_memory() -> None:
    frozen = freeze({"w": np.zeros(2), "list": [1]})
    one, other = thaw(frozen), thaw(frozen)

    one["w"] += 1
    one["list"].append(2)

    assert alike(other, {"w": np.zeros(2), "list": [1]})
    assert alike(frozen, {"w": np.zeros(2), "list": [1]})


@pytest.mark.parametrize(
    ("tree", "what"),
    [
        ({"layers": [{"w": {1, 2}}]}, r"state\['layers'\]\[0\]\['w'\] is of type set"),
        ({"f": (0, print)}, r"state\['f'\]\[1\] is of type builtin_function_or_method"),
        (object(), "state is of type object"),
        ([np.array([None])], r"state\[0\] is an array of object"),
        ([np.array([(None,)], [("a", object)])[0]], r"state\[0\] is of type void"),
        ([np.zeros(1, [("a", "f4")])], r"state\[0\] is an array of \[\('a'"),
        ([np.array(["a"])], r"state\[0\] is an array of <U1"),
        ([np.ma.masked_array([1.0], [True])], r"state\[0\] is of type MaskedArray"),
        ({"a": {1.5: 0}}, r"state\['a'\] has 1\.5"),
        ({True: 0}, "state has True"),
    ],
)
def test_what_is_no_tree_is_refused_by_its_place(tree: Any, what: str) -> None:
    with pytest.raises(StateError, match=what):
        freeze(tree)


def test_a_dict_of_another_kind_becomes_a_dict() -> None:
    assert type(freeze({"sd": collections.OrderedDict(w=1.0)})["sd"]) is dict


def test_a_tree_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)

    with pytest.raises(StateError, match=r"a state must be a tree, but state\[0\] holds itself"):
        freeze(endless)


def test_a_tree_that_holds_itself_in_a_tuple_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["a"] = [(endless,)]

    with pytest.raises(StateError, match=r"state\['a'\]\[0\]\[0\] holds itself"):
        freeze(endless)


def test_a_tree_too_deep_to_be_written_and_read_anywhere_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    assert alike(freeze(deep), deep)

    with pytest.raises(StateError, match=r"at most 100 deep, but state\[0\]\[0\].* is deeper"):
        freeze([deep])


@given(live=values.variables, saved=values.variables)
def test_restoring_makes_a_live_dict_the_saved_one(
    live: dict[Any, Any], saved: dict[Any, Any]
) -> None:
    frozen = freeze(saved)

    restore_into(live, frozen)

    assert alike(live, saved)
    assert sharing(live) == sharing(saved)


def _two_from(pool: list[Any]) -> st.SearchStrategy[tuple[dict[Any, Any], dict[Any, Any]]]:
    """Draw two dicts of the same few keys and the same few parts."""
    some = st.dictionaries(
        st.sampled_from("abc"), st.sampled_from([np.zeros(2), np.ones(2), *pool])
    )
    return st.tuples(some, some)


@given(both=st.lists(values.trees, max_size=4).flatmap(_two_from))
def test_restoring_is_right_though_the_live_dict_shares_what_the_saved_one_does_not(
    both: tuple[dict[Any, Any], dict[Any, Any]],
) -> None:
    live, saved = thaw(freeze(both[0])), freeze(both[1])

    restore_into(live, saved)

    assert alike(live, saved)
    assert sharing(live) == sharing(saved)


def test_arrays_that_come_to_share_end_as_the_one_that_is_there() -> None:
    live: dict[str, Any] = {"b": np.zeros(2)}
    held, tied = live["b"], np.ones(2)

    restore_into(live, freeze({"a": [tied], "b": tied}))

    assert live["a"][0] is live["b"] is held
    assert held.tolist() == [1.0, 1.0]


def test_arrays_that_part_do_not_overwrite_each_other() -> None:
    tied = np.zeros(2)
    live: dict[str, Any] = {"a": tied, "b": tied}

    restore_into(live, freeze({"a": np.ones(2), "b": np.full(2, 2.0)}))

    assert live["a"] is tied
    assert alike(live, {"a": np.ones(2), "b": np.full(2, 2.0)})


@given(saved=values.variables)
def test_a_restored_dict_shares_no_array_with_the_saved_one(saved: dict[Any, Any]) -> None:
    frozen, live = freeze(saved), dict[Any, Any]()

    restore_into(live, frozen)

    assert not any(
        np.shares_memory(mine, theirs) for mine in arrays(live) for theirs in arrays(frozen)
    )
    assert all(mine.flags.writeable for mine in arrays(live))


def test_restoring_writes_into_the_arrays_and_containers_that_are_there() -> None:
    live: dict[str, Any] = {"net": {"w": np.zeros(2)}, "moments": [np.zeros(3)], "stale": 1}
    held = live["net"]["w"], live["moments"], live["moments"][0]

    restore_into(live, freeze({"net": {"w": np.ones(2)}, "moments": [np.ones(3)], "step": 5}))

    assert live["net"]["w"] is held[0]
    assert live["moments"] is held[1]
    assert live["moments"][0] is held[2]
    assert held[0].tolist() == [1.0, 1.0]
    assert sorted(live) == ["moments", "net", "step"]


@pytest.mark.parametrize(
    "live", [np.zeros(3), np.zeros(2, "f4"), np.broadcast_to(0.0, (2,)), [0.0, 0.0], None]
)
def test_what_cannot_be_written_into_is_replaced(live: Any) -> None:
    variables = {"w": live}

    restore_into(variables, freeze({"w": np.ones(2)}))

    assert alike(variables, {"w": np.ones(2)})


def test_a_dict_is_a_state() -> None:
    variables = {"w": np.zeros(2)}
    state = adapt(variables)

    state.restore(freeze({"w": np.ones(2)}))

    assert isinstance(state, Variables)
    assert variables["w"].tolist() == [1.0, 1.0]
    assert state.capture() is variables


def test_whatever_captures_and_restores_is_a_state() -> None:
    mine = Held({"w": 1.0})

    assert isinstance(mine, State)
    assert adapt(mine) is mine


@pytest.mark.parametrize(
    ("state", "answer"),
    [
        (
            np.zeros(2),
            "got an object of type ndarray; give each part a name, state = {'weights': weights}",
        ),
        ([np.zeros(2)], "got an object of type list; give each part a name"),
        (None, "got None; write state = {'weights': weights} for arrays"),
        (SimpleNamespace(capture=dict), "got an object of type SimpleNamespace; write state = "),
        (Held, "got the class Held itself; pass an object of it"),
    ],
)
def test_what_cannot_be_put_back_is_refused_with_what_to_write(state: object, answer: str) -> None:
    with pytest.raises(StateError, match=r"must be a dict of arrays and numbers, or have") as error:
        adapt(state)

    assert answer in str(error.value)


def test_a_held_state_is_replaced_by_a_writable_copy() -> None:
    state = Held(np.zeros(2))
    saved = freeze(np.ones(2))

    state.restore(saved)
    state.value += 1

    assert (state.value.tolist(), saved.tolist()) == ([2.0, 2.0], [1.0, 1.0])


def test_bound_values_are_put_where_training_uses_them() -> None:
    optimiser, variables = SimpleNamespace(lr=0.0, beta=0.9), {"w": np.zeros(1)}
    state = Bound(variables, {"opt.lr": (optimiser, "lr")}, beta=(optimiser, "beta"))

    state.apply({"opt.lr": 0.3, "beta": 0.5, "batch": 32})

    assert (optimiser.lr, optimiser.beta) == (0.3, 0.5)
    assert state.read_back() == {"opt.lr": 0.3, "beta": 0.5}
    assert state.capture() is variables


def test_what_a_state_binds_itself_stays_bound() -> None:
    class Optimizer:
        lr = momentum = 0.0

    inner, outer = Optimizer(), Optimizer()
    own = Bound({"w": 0.0}, lr=(inner, "lr"), momentum=(inner, "momentum"))
    state = Bound(own, momentum=(outer, "momentum"))
    state.apply({"lr": 0.3, "momentum": 0.9})
    assert (inner.lr, outer.momentum) == (0.3, 0.9)
    outer.momentum = 0.5
    assert state.read_back() == {"lr": 0.3, "momentum": 0.5}


def test_a_value_bound_to_what_is_not_there_is_refused() -> None:
    with pytest.raises(StateError, match="'lr' is bound to 'learning_rate', which SimpleNamespace"):
        Bound({}, lr=(SimpleNamespace(lr=0.1), "learning_rate"))


HPARAMS: Hparams = {"lr": 0.3, "n": 3, "act": "relu", "flag": True}


def applied(**found: Any) -> Bound:
    """Return a state where these values were found."""
    places = SimpleNamespace(**found)
    return Bound({}, {name: (places, name) for name in found})


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"lr": 0.3, "n": 3, "act": "relu", "flag": True},
        {"lr": np.float32(0.3), "n": np.int32(3)},
        {"lr": np.array(0.3, "f4"), "n": np.array(3)},
    ],
)
def test_values_that_stayed_are_applied_even_if_kept_in_32_bits(found: Mapping[str, Any]) -> None:
    assert check_applied(applied(**found), HPARAMS, "after the turn") == frozenset(found)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        *(("lr", found) for found in (0.1, 0.3001, math.nan, None, "0.3!", np.full(2, 0.3))),
        *(("n", found) for found in (4, None, "3", np.full(2, 3))),
        ("act", "gelu"),
        ("flag", False),
    ],
)
def test_a_value_that_something_overwrote_is_named(name: str, found: Any) -> None:
    with pytest.raises(
        HyperparameterOverwritten, match=f"'{name}' must stay as applied.*but after the turn it was"
    ):
        check_applied(applied(**{name: found}), HPARAMS, "after the turn")


def test_a_state_that_knows_who_overwrites_a_value_names_them() -> None:
    class Knowing:
        def apply(self, hparams: Mapping[str, Any]) -> None: ...

        def read_back(self) -> Mapping[str, Any]:
            return {"lr": 0.1, "n": 3}

        def explain(self, name: str) -> str:
            return f"the scheduler sets {name}"

    with pytest.raises(HyperparameterOverwritten, match=r"it was 0\.1: the scheduler sets lr$"):
        check_applied(Knowing(), HPARAMS, "after the turn")


@given(value=st.floats(1e-30, 1e30) | st.floats(-1e30, -1e-30) | st.just(0.0))
def test_rounding_to_32_bits_is_no_change(value: float) -> None:
    assert check_applied(applied(lr=np.float32(value)), {"lr": value}, "now") == {"lr"}


def arrays(tree: Any) -> list[np.ndarray]:
    """Return every array of a tree."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, list | tuple):
        return [array for inner in tree for array in arrays(inner)]
    return [tree] if isinstance(tree, np.ndarray) else []


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_a_generator_goes_on_where_it_was_in_place_and_anew(kind: str) -> None:
    def begun(seed: int) -> np.random.Generator:
        rng = np.random.Generator(getattr(np.random, kind)(seed))
        rng.integers(3, dtype=np.uint32)  # Half of a word is left over.
        return rng

    live = {"rng": begun(1), "same": None, "n": 0}
    live["same"] = live["rng"]
    tree = decode(b"".join(map(bytes, encode(live))))
    expected = begun(1).normal(size=3)

    other = {"rng": begun(2), "n": 1}
    held = other["rng"]
    restore_into(other, tree)
    assert other["rng"] is held
    assert other["same"] is held
    assert np.array_equal(held.normal(size=3), expected)

    anew = thaw(tree)
    assert anew["rng"] is anew["same"]
    assert np.array_equal(anew["rng"].normal(size=3), expected)


@pytest.mark.parametrize("kind", ["PCG64", "MT19937"])
@pytest.mark.parametrize("entropy", [7, [1, 2**40], None])
def test_children_of_a_generator_are_those_of_never_having_stopped(
    kind: str, entropy: int | list[int] | None
) -> None:
    seeds = np.random.SeedSequence(entropy, spawn_key=(3,))
    rng = np.random.Generator(getattr(np.random, kind)(seeds))
    rng.spawn(2)
    tree = decode(b"".join(map(bytes, encode({"rng": rng}))))
    (child,) = rng.spawn(1)
    expected = child.random()

    live = {"rng": np.random.Generator(getattr(np.random, kind)(0))}
    restore_into(live, tree)
    restored = [live["rng"]] if RESTORES_SEEDS else []
    for again in (thaw(tree)["rng"], thaw(freeze(tree))["rng"], *restored):
        assert again.spawn(1)[0].random() == expected


def test_a_checkpoint_from_before_has_no_seeds_to_spawn_from() -> None:
    rng = thaw({"rng": dict_of("PCG64")})["rng"]
    assert rng.random() == np.random.Generator(np.random.PCG64(0)).random()
    with pytest.raises(TypeError, match="spawn"):
        rng.spawn(1)


def test_a_frozen_generator_stays_as_it_was() -> None:
    rng = np.random.default_rng(0)
    frozen = freeze({"rng": rng, "again": rng})
    rng.random()
    assert frozen["rng"] is frozen["again"]
    assert frozen["rng"].random() == np.random.default_rng(0).random()


class Arcade:
    """A thing of the user's that keeps a generator, and takes back what it returned."""

    def __init__(self, seed: int) -> None:
        self.rng, self.total = np.random.default_rng(seed), 0.0

    def capture(self) -> Any:
        return {"rng": self.rng, "total": self.total}

    def restore(self, tree: Any) -> None:
        self.rng, self.total = tree["rng"], tree["total"]


def test_a_generator_comes_back_as_one_to_an_object_of_the_users() -> None:
    def train(session: ramet.Session) -> None:
        arcade = Arcade(session.seed)
        for turn in session.turns(arcade):
            for _ in turn:
                arcade.total += arcade.rng.random() * turn.hparams["lr"]
            turn.report(arcade.total)

    space = ramet.Space(lr=ramet.LogUniform(0.1, 1.0))
    strategy = ramet.PBT(population=2, turn_steps=2, exploit=ramet.Truncation(0.5))
    result = ramet.run(train, space, strategy, steps=6, mode="max", seed=0)

    arcade = result.final.load(into=Arcade(0))
    assert arcade.total == result.final.score
    assert isinstance(arcade.rng, np.random.Generator)


def test_a_generator_of_another_kind_is_replaced() -> None:
    live: dict[str, Any] = {"rng": np.random.Generator(np.random.MT19937(0)), "more": [1]}
    restore_into(live, freeze({"rng": np.random.default_rng(3), "more": np.random.default_rng(4)}))
    assert live["rng"].random() == np.random.default_rng(3).random()
    assert live["more"].random() == np.random.default_rng(4).random()


def dict_of(kind: str, **changes: Any) -> dict[str, Any]:
    """Return a generator's state as a checkpoint holds it, with something in it changed."""
    state: dict[str, Any] = dict(getattr(np.random, kind)(0).state)
    return {"ramet.generator": {**state, **changes}}


WORDS = np.arange(4, dtype=np.uint64)


@pytest.mark.parametrize(
    ("saved", "match"),
    [
        (dict_of("PCG64", bit_generator="Own"), "NumPy's own, .* but this is of 'Own'"),
        ({"ramet.generator": 3}, "but this is of ''"),
        (dict_of("PCG64", state={}), r"whole state, but state lacks \['state', 'inc'\]"),
        (dict_of("PCG64", state={"state": -1, "inc": 1}), "state.state must be from 0 to .* is -1"),
        (dict_of("PCG64", state={"state": 1, "inc": 2**128}), "state.inc must be from 0 to "),
        (dict_of("PCG64", uinteger=2**32), "uinteger must be from 0 to 4294967295"),
        (dict_of("PCG64DXSM", has_uint32=2), "has_uint32 must be from 0 to 1, but is 2"),
        (dict_of("PCG64DXSM", has_uint32="x"), "cannot be interpreted as an integer"),
        (
            dict_of("MT19937", state={"key": np.zeros(624, np.uint32), "pos": 2**28}),
            "state.pos must be from 0 to 624, but is 268435456",
        ),
        (
            dict_of("MT19937", state={"key": np.zeros(3, np.uint32), "pos": 0}),
            r"state.key must be 624 numbers of uint32, but is uint32\(3,\)",
        ),
        (dict_of("Philox", buffer_pos=5), "buffer_pos must be from 0 to 4, but is 5"),
        (dict_of("Philox", buffer=WORDS[:1]), r"buffer must be 4 .*, but is uint64\(1,\)"),
        (dict_of("Philox", state={"counter": WORDS, "key": [1]}), "state.key must be 2 numbers"),
        (dict_of("SFC64", state={"state": WORDS.astype(np.uint8)}), "but is uint8"),
        (dict_of("PCG64") | {"ramet.seeds": {"entropy": 1}}, "must have a whole state"),
        (dict_of("PCG64") | {"ramet.seeds": {"pool_size": 2**40}}, "at most 1024 numbers"),
        (
            dict_of("PCG64")
            | {"ramet.seeds": {"entropy": 1, "pool_size": 4, "n_children_spawned": -1}},
            "must have a whole state",
        ),
    ],
)
def test_a_generator_in_a_checkpoint_is_of_numpys_kinds_and_whole(saved: Any, match: str) -> None:
    with pytest.raises(StateError, match=match):
        thaw({"rng": saved})
    # A dict like that is in bytes what a generator is.
    with pytest.raises((StateError, CheckpointDamaged)):
        decode(b"".join(map(bytes, encode({"rng": saved}))))


def test_a_generator_of_ones_own_kind_is_refused() -> None:
    class Own(np.random.PCG64):
        pass

    with pytest.raises(StateError, match=r"must be one of NumPy's own, .*, but got Own;"):
        freeze({"rng": np.random.Generator(Own(0))})


@pytest.mark.parametrize(
    ("leaf", "instead"),
    [
        (collections.deque([1], maxlen=3), r"of type deque; keep list\(it\)"),
        (frozenset({1}), r"of type frozenset; keep sorted\(it\)"),
        (np.random.RandomState(0), r"of type RandomState; draw from np.random.default_rng\(seed\)"),
        (random.Random(0), r"of type Random; draw from np.random.default_rng"),  # noqa: S311 - no secret
        (object(), "of type object; leave it out"),
    ],
)
def test_what_to_keep_instead_is_said(leaf: object, instead: str) -> None:
    with pytest.raises(StateError, match=rf"state\['x'\] is {instead}"):
        freeze({"x": leaf})
