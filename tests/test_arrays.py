"""Arrays of hyperparameters: one name, several values, each of which is one to all else."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet import (
    Array,
    Choice,
    Constant,
    Integer,
    LogUniform,
    Perturb,
    Resample,
    Space,
    Uniform,
    When,
)
from ramet.errors import SpaceError, UnknownHyperparameter, UsageError
from ramet.mapping.arrays import SpaceArrays
from ramet.space.values import Values
from ramet.strategies.explore import explore_from
from ramet.strategies.in_step import follow
from tests import values

RATES = Space(lr=Array(LogUniform(1e-5, 1.0), 3), decay=Array(Uniform(0.0, 1.0), ["body", "head"]))


def test_an_array_is_several_hyperparameters() -> None:
    assert list(RATES) == ["lr[0]", "lr[1]", "lr[2]", "decay.body", "decay.head"]


def test_an_array_is_read_under_its_name() -> None:
    hparams = Values({"lr[0]": 0.1, "lr[1]": 0.2, "decay.body": 0.3, "decay.head": 0.4})

    assert hparams["lr"] == (0.1, 0.2)
    assert hparams["lr[1]"] == 0.2
    assert "lr" in hparams
    assert "l" not in hparams
    assert hparams.unread() == ["decay.body", "decay.head"]
    assert hparams["decay"]["head"] == 0.4


def test_an_array_in_a_group_is_read_in_the_group() -> None:
    space = Space(optimizer={"lr": Array(Uniform(0.0, 1.0), 2)})
    hparams = Values(space.adopt({"optimizer": {"lr": [0, 1]}}, "a point"))

    assert hparams["optimizer"]["lr"] == (0.0, 1.0)


def test_an_array_that_is_not_there_cannot_be_read() -> None:
    space = Space(kind=Choice(["a", "b"]), lr=When(Array(Uniform(0.0, 1.0), 2), kind="a"))
    hparams = Values({"kind": "b"}, conditions=space.conditions)

    assert hparams.get("lr", (0.5, 0.5)) == (0.5, 0.5)
    with pytest.raises(UnknownHyperparameter, match="'lr' is there only when 'kind' is 'a'"):
        hparams["lr"]


@pytest.mark.parametrize("given", [[0.1, 0.2, 0.3], (0.1, 0.2, 0.3), np.array([0.1, 0.2, 0.3])])
def test_values_of_an_array_are_given_as_a_list(given: Any) -> None:
    point = {"lr": given, "decay": {"body": 0, "head": 1}}

    assert RATES.adopt(point, "a point") == {
        "lr[0]": 0.1,
        "lr[1]": 0.2,
        "lr[2]": 0.3,
        "decay.body": 0.0,
        "decay.head": 1.0,
    }


def test_values_of_another_number_are_refused() -> None:
    with pytest.raises(SpaceError, match="array 'lr' must have 3 values, but got 2"):
        RATES.adopt({"lr": [0.1, 0.2], "decay": {"body": 0, "head": 1}}, "a point")


@pytest.mark.parametrize(
    ("declare", "law"),
    [
        (lambda: Array(Uniform(0, 1), 0), "from 1 to 1,000"),
        (lambda: Array(Uniform(0, 1), 10**9), "from 1 to 1,000"),
        (lambda: Array(Uniform(0, 1), []), "write Array"),
        (lambda: Array(Uniform(0, 1), "ab"), "write Array"),
        (lambda: Array(Uniform(0, 1), 2, together="yes"), "together= must be"),
        (lambda: Space(lr=Array(Choice([1, 2]), 2, together=True)), "must have an order"),
        (lambda: Space(lr=Array(0.1, 2)), "must be a domain"),
        (lambda: Space(lr=Array(Uniform(0, 1), ["a", "a"])), "twice"),
        (
            lambda: Space({"lr": Uniform(0, 1), "lr[0]": Uniform(0, 1)}),
            "a hyperparameter, a group or an array, but 'lr' is two",
        ),
        (
            lambda: Space({"lr.a": Uniform(0, 1), "lr[0]": Uniform(0, 1)}),
            "a hyperparameter, a group or an array, but 'lr' is two",
        ),
    ],
)
def test_an_array_that_makes_no_sense_is_refused(declare: Any, law: str) -> None:
    with pytest.raises(SpaceError, match=law):
        declare()


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("domain", "begun"),
    [
        (LogUniform(1e-9, 1e9), [1.0, 2.0, 4.0]),
        (Uniform(-1e9, 1e9), [1.0, 2.0, 4.0]),
        (Choice([*range(50)], ordered=True), [10, 20, 40]),
    ],
)
@pytest.mark.parametrize("explore", [Perturb((0.5, 0.8, 1.25, 2.0)), Resample(1.0)])
def test_values_move_together_if_they_are_meant_to(
    domain: Any, begun: list[Any], explore: Any, *, together: bool
) -> None:
    space = Space(lr=Array(domain, 3, together=together))
    before = dict(zip(space, begun, strict=True))
    log = isinstance(domain, LogUniform)

    distances = set()
    moved = set()
    for seed in range(20):
        found: Any = explore_from(space, before, explore, np.random.default_rng(seed))
        after = [math.log2(it) if log else it for it in found.values()]
        distances.add((round(after[1] - after[0], 6), round(after[2] - after[1], 6)))
        moved.add(after[0])

    assert len(moved) > 1
    assert (len(distances) == 1) == together


@given(
    domain=values.positives.filter(lambda it: not isinstance(it, Constant)),
    rng=values.rngs,
    size=st.integers(1, 4),
)
def test_values_that_move_together_stay_in_their_domain(
    domain: Any, rng: np.random.Generator, size: int
) -> None:
    before = [domain.sample(rng) for _ in range(size)]

    after = follow(domain, before, domain.sample(rng))

    assert all(map(domain.contains, after))
    # Rounding may make whole numbers equal, but lets none overtake another.
    in_order = [after[at] for at in np.argsort(before, kind="stable")]
    assert in_order == sorted(in_order)


def test_a_vectorised_task_gets_an_array_with_one_more_axis() -> None:
    numbers = SpaceArrays(Space(depth=Integer(1, 3), lr=Array(Uniform(0.0, 1.0), 3)))

    found = numbers.of({"depth": 2, "lr[0]": 0.25, "lr[1]": 0.5, "lr[2]": 1.0})

    assert found["lr"].tolist() == [0.25, 0.5, 1.0]
    assert found["lr"].dtype == np.float32
    assert found["depth"].shape == ()
    assert numbers.shapes == {"depth": (), "lr": (3,)}


def test_the_values_of_several_members_are_stacked() -> None:
    numbers = SpaceArrays(Space(depth=Integer(1, 3), lr=Array(Uniform(0.0, 1.0), 2)))
    members = [{"depth": n, "lr[0]": n / 4, "lr[1]": n / 8} for n in (1, 2, 3)]

    found = numbers.of_all(members)

    for name, stacked in found.items():
        alone = [numbers.of(each)[name] for each in members]
        np.testing.assert_array_equal(stacked, np.stack(alone))
        assert stacked.dtype == alone[0].dtype


def test_a_vectorised_task_refuses_an_array_of_two_kinds() -> None:
    with pytest.raises(UsageError, match="must be of one kind"):
        SpaceArrays(Space({"x[0]": Integer(1, 3), "x[1]": Uniform(0.0, 1.0)}))


DEPENDENT = Space(
    depth=Integer(1, 3), width=When(Uniform(0.0, 1.0), depth=2), lr=Array(Uniform(0.0, 1.0), 2)
)


@pytest.mark.parametrize("names", [set(), {"depth"}, {"lr"}, {"lr[1]", "width"}, {"none", "depth"}])
@pytest.mark.parametrize("conditions", [None, DEPENDENT.conditions])
def test_values_that_are_marked_as_read_count_as_read(names: set[str], conditions: Any) -> None:
    point = {"depth": 2, "width": 0.75, "lr[0]": 0.25, "lr[1]": 0.5}
    marked, read = (Values(point, conditions=conditions) for _ in range(2))

    marked.mark_read(names)
    for name in names - {"none"}:
        read[name]

    assert marked.unread() == read.unread()
