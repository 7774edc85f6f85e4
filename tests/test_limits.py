"""Limits of several values hold whatever moves them, and nothing is drawn again for them."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ramet
from ramet import (
    AtMost,
    Choice,
    Integer,
    LogUniform,
    Perturb,
    ProductAtMost,
    Space,
    SumAtMost,
    Uniform,
    When,
)
from ramet.errors import SpaceError
from ramet.strategies.explore import explore_from
from tests import values


@given(first=values.positives, second=values.positives, factor=st.floats(0.1, 9.0), rng=values.rngs)
def test_any_allowed_value_can_be_kept(
    first: Any, second: Any, factor: float, rng: np.random.Generator
) -> None:
    try:
        space = Space(a=first, b=second, limits=[AtMost("a", "b", factor=factor)])
    except SpaceError:
        return
    free = Space(a=first, b=second)
    for _ in range(20):
        wanted = free.sample(rng)
        kept = space.complete(wanted, None)

        assert space.problem(kept) is None
        if space.contains(wanted):
            assert kept == wanted


def test_the_earlier_value_stays_and_the_later_gives_way_to_the_nearest() -> None:
    space = Space(
        batch=Choice([32, 64, 128], ordered=True),
        length=Integer(128, 4_096, log=True),
        limits=[ProductAtMost(["batch", "length"], 65_536)],
    )

    assert space.complete({"batch": 64, "length": 2_000}, None) == {"batch": 64, "length": 1_024}
    assert space.complete({"batch": 64, "length": 1_000}, None) == {"batch": 64, "length": 1_000}


def test_a_value_stops_where_it_would_leave_the_others_none() -> None:
    space = Space(
        low=Uniform(0.0, 10.0), high=Uniform(0.0, 4.0), limits=[AtMost("low", "high", factor=2)]
    )

    assert space.complete({"low": 9.0, "high": 1.0}, None) == {"low": 8.0, "high": 4.0}
    assert space.complete({"low": 3.0, "high": 1.0}, None) == {"low": 3.0, "high": 1.5}


def test_draws_do_not_pile_up_at_a_limit() -> None:
    space = Space(low=Uniform(0.0, 1.0), high=Uniform(0.0, 1.0), limits=[AtMost("low", "high")])
    rng = np.random.default_rng(0)

    drawn: list[Any] = [space.sample(rng) for _ in range(500)]

    assert all(it["low"] <= it["high"] for it in drawn)
    assert len({it["high"] for it in drawn}) == len({it["low"] for it in drawn}) == 500


def test_a_start_is_kept_as_far_as_a_limit_allows() -> None:
    space = Space(
        steps=Integer(10, 100, start=(10, 20)),
        warmup=Integer(1, 90, start=(15, 90)),
        limits=[AtMost("warmup", "steps")],
    )
    drawn: list[Any] = [space.sample(np.random.default_rng(seed)) for seed in range(50)]

    assert all(10 <= it["steps"] <= 20 for it in drawn)
    assert all(min(15, it["steps"]) <= it["warmup"] <= it["steps"] for it in drawn)


def test_values_within_a_factor_of_each_other() -> None:
    space = Space(
        a=LogUniform(1e-6, 1.0),
        b=LogUniform(1e-6, 1.0),
        limits=[AtMost("a", "b", factor=2), AtMost("b", "a", factor=2)],
    )
    rng = np.random.default_rng(0)
    hparams: Any = space.sample(rng)
    for _ in range(200):
        hparams = explore_from(space, hparams, Perturb((0.1, 10.0)), rng)

        assert hparams["a"] <= 2 * hparams["b"]
        assert hparams["b"] <= 2 * hparams["a"]


def test_a_limit_counts_only_what_is_there() -> None:
    space = Space(
        kind=Choice(["a", "b"]),
        x=Uniform(0.0, 1.0),
        y=When(Uniform(0.5, 1.0), kind="a"),
        limits=[SumAtMost(["x", "y"], 1.0)],
    )

    assert space.contains({"kind": "b", "x": 1.0})
    assert space.problem({"kind": "a", "x": 1.0, "y": 0.5}) == (
        "'x' + 'y' must be at most 1.0, but got {'x': 1.0, 'y': 0.5}"
    )


@pytest.mark.parametrize(
    ("declare", "law"),
    [
        (
            lambda: Space(a=Uniform(2, 3), b=Uniform(0, 1), limits=[AtMost("a", "b")]),
            r"none of a=Uniform\(.*\), b=Uniform\(.*\) do: 'a' must be at most 'b'; widen",
        ),
        (
            lambda: Space(
                a=Uniform(1, 3),
                b=Uniform(1, 3),
                limits=[AtMost("a", "b", factor=0.9), AtMost("b", "a", factor=0.9)],
            ),
            "some values must keep all limits",
        ),
        (lambda: Space(a=Uniform(0, 1), limits=[AtMost("a", "b")]), "names 'b'"),
        (lambda: Space(a=Uniform(0, 1), limits=[AtMost("a", "a")]), "twice"),
        (lambda: Space(a=Uniform(0, 1), limits=[SumAtMost([], 1)]), "must be a list"),
        (lambda: Space(a=Uniform(0, 1), limits=[SumAtMost("a", 1)]), "must be a list"),
        (lambda: Space(a=Uniform(0, 1), limits=[SumAtMost(["a"], np.inf)]), "finite"),
        (
            lambda: Space(a=Uniform(0, 1), b=Uniform(0, 1), limits=[AtMost("a", "b", factor=-1)]),
            "factor must be",
        ),
        (lambda: Space(a=Choice([1, None]), limits=[SumAtMost(["a"], 3)]), "may be None"),
        (lambda: Space(a=Choice([1, True, 2]), limits=[SumAtMost(["a"], 3)]), "may be True"),
        (lambda: Space(a=Uniform(-1, 1), limits=[ProductAtMost(["a"], 3)]), "never below 0"),
        (
            lambda: Space(
                a=Integer(1, 2), b=When(Integer(1, 2), a=1), limits=[SumAtMost(["a", "b"], 3)]
            ),
            "no others depend on",
        ),
        (lambda: Space(a=Uniform(0, 1), limits=AtMost("a", "b")), "must be a list of limits"),
        (lambda: Space(a=Uniform(0, 1), limits=[lambda h: True]), "must be AtMost"),
        (lambda: Space({"a": Uniform(0, 1), "limits": []}), "write Space"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(declare: Any, law: str) -> None:
    with pytest.raises(SpaceError, match=law):
        declare()


def test_limits_of_an_inner_space_are_about_its_own_names() -> None:
    inner = Space(a=Integer(1, 9), b=Integer(1, 9), limits=[AtMost("a", "b")])

    space = Space(a=Integer(1, 9), inner=inner)

    assert space.contains({"a": 9, "inner.a": 1, "inner.b": 1})
    assert not space.contains({"a": 1, "inner.a": 2, "inner.b": 1})


def test_a_starting_point_that_breaks_a_limit_is_refused() -> None:
    space = Space(a=Integer(1, 9), b=Integer(1, 9), limits=[AtMost("a", "b")])

    with pytest.raises(SpaceError, match="'a' must be at most 'b', but got"):
        ramet.Grid([{"a": 2, "b": 1}], turn_steps=1).births(space, 1, np.random.default_rng(0))


def test_a_limit_of_what_is_not_there_holds() -> None:
    space = Space(
        kind=Choice(["x", "y"]),
        low=When(Uniform(-3.0, -2.0), kind="x"),
        rate=When(Uniform(0.01, 0.1), kind="x"),
        limits=[SumAtMost(["low"], -2.5), ProductAtMost(["rate"], 0.05)],
    )

    assert space.problem({"kind": "y"}) is None


@pytest.mark.parametrize(
    "limit", [SumAtMost(["low", "high"], -1.0), ProductAtMost(["rate", "high"], 0.5)]
)
def test_limits_that_no_values_keep_while_some_are_not_there_are_refused(limit: Any) -> None:
    parts = {
        "kind": Choice(["x", "y"]),
        "size": When(Integer(1, 1_000_000), kind="y"),
        "low": When(Uniform(-3.0, -2.0), kind="x"),
        "rate": When(Uniform(0.01, 0.1), kind="x"),
        "high": Uniform(1.0, 1.5),
    }
    with pytest.raises(SpaceError, match=r"none of high=.*, while no others are there, do"):
        Space(parts, limits=[limit])

    always_together = {**parts, "high": When(Uniform(1.0, 1.5), kind="x")}
    assert Space(always_together, limits=[limit]).contains({"kind": "y", "size": 1})


def test_limits_that_cannot_hold_are_an_error_where_there_are_too_many_cases_to_go_through() -> (
    None
):
    kinds = {f"kind{nth}": Choice([0, 1]) for nth in range(12)}
    low = When(Uniform(-3.0, -2.0), dict.fromkeys(kinds, 0))
    space = Space(
        {**kinds, "low": low, "high": Uniform(1.0, 1.5)}, limits=[SumAtMost(["low", "high"], -1.0)]
    )

    with pytest.raises(SpaceError, match="some values must keep all limits at once"):
        space.complete(dict.fromkeys(kinds, 1), np.random.default_rng(0))


@pytest.mark.parametrize("backwards", [False, True])
def test_a_chain_of_limits_leaves_the_first_all_of_its_domain(*, backwards: bool) -> None:
    names = [f"x{nth}" for nth in range(150)]
    limits = [AtMost(low, high) for low, high in pairwise(names)]
    space = Space(
        dict.fromkeys(names, Uniform(0.0, 1.0)), limits=limits[::-1] if backwards else limits
    )
    wanted = {"x0": 0.75} | dict.fromkeys(names[1:], 0.5)

    assert space.complete(wanted, None) == dict.fromkeys(names, 0.75)


def test_sums_are_rounded_alike_by_all_versions_of_python() -> None:
    # sum() is 0.6 from Python 3.12 on.
    assert not SumAtMost(["a", "b", "c"], 0.6).holds({"a": 0.1, "b": 0.2, "c": 0.3})


def test_a_product_may_be_more_than_a_float_holds() -> None:
    names = [f"n{nth}" for nth in range(20)]
    limit = ProductAtMost([*names, "x"], 1.0)
    great = dict.fromkeys(names, 2**53)

    assert not limit.holds({**great, "x": 0.5})
    assert limit.holds({**great, "x": 0.0})
    assert ProductAtMost(["a", "b", "c"], 1.0).holds({"a": 1e200, "b": 1e200, "c": 0.0})


def test_draws_keep_limits_in_a_circle() -> None:
    space = Space(
        a=Integer(1, 10),
        b=Integer(1, 3),
        limits=[AtMost("a", "b", factor=3), AtMost("b", "a", factor=1 / 3)],
    )
    rng = np.random.default_rng(0)
    drawn = [space.sample(rng) for _ in range(50)]

    assert all(space.contains(hparams) for hparams in drawn)
    assert {hparams["a"] for hparams in drawn} >= {3, 6}
