"""Hyperparameters that are there only if others have certain values."""

import re
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ramet
from ramet import Choice, Integer, Perturb, Resample, Space, Uniform, When
from ramet.description import describe
from ramet.errors import CorruptLog, SpaceError, StateError, UnknownHyperparameter, UsageError
from ramet.events import Explored, fold
from ramet.laws import check_hparams, check_space
from ramet.mapping.arrays import SpaceArrays
from ramet.space.values import Values
from ramet.strategies.explore import explore_from
from tests import values

OPTIMIZERS = Space(
    momentum=When(Uniform(0.5, 0.99), optimizer="sgd"),
    optimizer=Choice(["sgd", "adam"]),
    lr=Uniform(0.0, 1.0),
)


@given(space=values.rich_spaces(), rng=values.rngs)
def test_a_draw_keeps_conditions_and_limits(space: Space, rng: np.random.Generator) -> None:
    assert space.problem(space.sample(rng)) is None


@given(
    space=values.rich_spaces(),
    explore=st.sampled_from([Perturb((0.5, 2.0), redraw=0.5), Resample(0.5), Perturb((1.01, 9.0))]),
    rng=values.rngs,
)
def test_conditions_and_limits_are_closed_under_exploring(
    space: Space, explore: Perturb | Resample, rng: np.random.Generator
) -> None:
    hparams = space.sample(rng)
    for _ in range(4):
        hparams = explore_from(space, hparams, explore, rng)

        assert space.problem(hparams) is None
        assert list(hparams) == [name for name in space if name in hparams]


@given(space=values.rich_spaces(), rng=values.rngs)
def test_a_rich_space_is_rebuilt_from_the_json_of_its_description(
    space: Space, rng: np.random.Generator
) -> None:
    stored = msgspec.json.decode(msgspec.json.encode(space.describe()))

    rebuilt = check_space(stored)

    assert rebuilt == space
    assert rebuilt.describe() == space.describe()
    check_hparams(rebuilt, space.sample(rng), 0)


@given(space=values.rich_spaces(), rng=values.rngs)
def test_the_same_generator_gives_the_same_values(space: Space, rng: np.random.Generator) -> None:
    seed = int(rng.integers(2**32))
    begun = space.sample(rng)

    moved = [
        explore_from(space, begun, Perturb(redraw=0.5), np.random.default_rng(seed))
        for _ in range(2)
    ]

    assert moved[0] == moved[1]


def test_a_value_comes_and_goes_with_its_condition() -> None:
    drawn = [OPTIMIZERS.sample(np.random.default_rng(seed)) for seed in range(20)]

    assert {("momentum" in hparams, hparams["optimizer"]) for hparams in drawn} == {
        (True, "sgd"),
        (False, "adam"),
    }


@pytest.mark.parametrize(
    ("hparams", "law"),
    [
        ({"optimizer": "adam", "lr": 0.1, "momentum": 0.9}, "'momentum' is there only when"),
        ({"optimizer": "sgd", "lr": 0.1}, "'momentum' must be there, since 'optimizer' is 'sgd'"),
        ({"optimizer": "sgd", "lr": 0.1, "momentum": 0.1}, "'momentum' must be in"),
        ({"lr": 0.1}, r"\['optimizer'\] missing"),
    ],
)
def test_values_that_do_not_fit_their_conditions_are_refused(
    hparams: dict[str, Any], law: str
) -> None:
    with pytest.raises(SpaceError, match=law):
        OPTIMIZERS.adopt(hparams, "a starting point")
    with pytest.raises(CorruptLog):
        check_hparams(OPTIMIZERS, hparams, 0)


@pytest.mark.parametrize(
    ("declare", "law"),
    [
        (
            lambda: Space(a=When(Integer(1, 2), b=1), b=When(Integer(1, 2), a=1)),
            r"circle, but 'a', 'b' depend",
        ),
        (lambda: Space(a=When(Integer(1, 2), a=1)), "circle, but 'a' depend"),
        (lambda: Space(a=When(Integer(1, 2), b=1)), "'b' is none"),
        (lambda: Space(a=When(Integer(1, 2), b=1), b=Uniform(0, 2)), "must depend on a Choice"),
        (lambda: Space(a=When(Integer(1, 2), b=3), b=Integer(0, 2)), r"but got \[3\]"),
        (lambda: Space(a=When(Integer(1, 2), b=True), b=Integer(0, 2)), r"but got \[True\]"),
        (lambda: Space(a=When(Integer(1, 2), b=[]), b=Integer(0, 2)), "but got none"),
        (lambda: When(Integer(1, 2)), "must name a hyperparameter and its value"),
        (lambda: When(Integer(1, 2), "b"), "must be values by name"),
        (
            lambda: Space(
                {"a[0]": When(Integer(1, 2), b=1), "a[1]": Integer(1, 2), "b": Integer(1, 2)}
            ),
            "together or not at all",
        ),
    ],
)
def test_a_condition_that_makes_no_sense_is_refused(declare: Any, law: str) -> None:
    with pytest.raises(SpaceError, match=law):
        declare()


def test_names_of_conditions_are_those_beside_the_group() -> None:
    inner = Space(kind=Choice(["flip", "crop"]), size=When(Integer(1, 9), kind="crop"))
    space = Space(augment=inner, warm=When({"up": inner}, {"augment.kind": "crop"}))

    assert space.contains({"augment.kind": "flip"})
    assert space.contains(
        {"augment.kind": "crop", "augment.size": 3, "warm.up.kind": "crop", "warm.up.size": 1}
    )
    assert not space.contains({"augment.kind": "crop", "augment.size": 3})


def test_where_of_a_group_is_asked_only_while_the_group_is_there() -> None:
    inner = Space(low=Integer(1, 9), high=Integer(1, 9), where=lambda h: h["low"] < h["high"])
    space = Space(kind=Choice(["a", "b"]), inner=When(inner, kind="a"))
    rng = np.random.default_rng(0)

    drawn = [space.sample(rng) for _ in range(50)]

    assert {"inner.low" in hparams for hparams in drawn} == {True, False}
    assert not space.contains({"kind": "a", "inner.low": 2, "inner.high": 2})


def test_a_long_chain_of_conditions_is_followed() -> None:
    chain: dict[str, Any] = {
        f"n{nth}": When(Integer(1, 2), {f"n{nth + 1}": 1}) for nth in range(2_000)
    }

    space = Space(chain | {"n2000": Integer(1, 2)})

    assert space.problem(space.sample(np.random.default_rng(0))) is None


def test_reading_a_value_that_is_not_there_is_an_error_and_get_has_a_default() -> None:
    hparams = Values({"optimizer": "adam"}, conditions=OPTIMIZERS.conditions)

    assert "momentum" not in hparams
    assert hparams.get("momentum", 0.0) == 0.0
    with pytest.raises(UnknownHyperparameter, match="only when 'optimizer' is 'sgd'"):
        hparams["momentum"]
    with pytest.raises(UnknownHyperparameter, match="did you mean"):
        hparams.get("optimiser", 0.0)


def test_asking_for_a_value_reads_what_it_depends_on() -> None:
    space = Space(
        n=Integer(1, 2), m=When(Choice(["a", "b"]), n=1), x=When({"y": Uniform(0.0, 1.0)}, m="a")
    )
    asked: list[Any] = [
        lambda hparams: hparams.get("x.y", 0.0),
        lambda hparams: "x" in hparams,
        lambda hparams: hparams.get("x", None),
    ]
    for ask in asked:
        for point in ({"n": 2}, {"n": 1, "m": "b"}, {"n": 1, "m": "a", "x.y": 0.5}):
            hparams = Values(point, conditions=space.conditions)

            ask(hparams)

            assert {*hparams.unread()} <= {"x.y"}


def test_a_value_that_comes_back_is_the_last_that_the_lineage_had() -> None:
    births = [ramet.events.Birth(hparams={"momentum": 0.9, "optimizer": "sgd", "lr": 0.1})]
    opened = values.opening(OPTIMIZERS, births)
    left = Explored(member=0, hparams={"optimizer": "adam", "lr": 0.2})
    back = Explored(member=0, hparams={"momentum": 0.9, "optimizer": "sgd", "lr": 0.2})

    away = fold([opened, left])

    assert away[0].absent == {"momentum": 0.9}
    assert fold([opened, left, back])[0].absent is None
    space = Space(OPTIMIZERS)
    moved = [
        explore_from(
            space,
            away[0].hparams,
            Perturb(redraw=1.0),
            np.random.default_rng(seed),
            away[0].absent,
        )
        for seed in range(20)
    ]
    assert {hparams["momentum"] for hparams in moved if "momentum" in hparams} == {0.9}


def test_a_copy_takes_what_its_source_remembers() -> None:
    births = [
        ramet.events.Birth(hparams={"momentum": at, "optimizer": "sgd", "lr": 0.1})
        for at in (0.6, 0.7)
    ]
    opened = values.opening(OPTIMIZERS, births)
    left = Explored(member=1, hparams={"optimizer": "adam", "lr": 0.2})
    before = fold([opened, left])

    copied = fold([values.copied(0, before[1], weights=False, hparams=True)], before)

    assert copied[0].absent == {"momentum": 0.7}


def test_a_vectorised_task_refuses_a_hyperparameter_that_may_be_missing() -> None:
    with pytest.raises(UsageError, match=r"\['momentum'\] depend on others"):
        SpaceArrays(OPTIMIZERS)


class Optimizer:
    momentum = 0.0


def test_a_bound_hyperparameter_that_is_not_there_is_refused() -> None:
    optimizer = Optimizer()

    def train(session: ramet.Session) -> None:
        for turn in session.turns(ramet.Bound({"w": 0.0}, momentum=(optimizer, "momentum"))):
            turn.hparams["lr"], turn.hparams["optimizer"]
            for _ in turn:
                turn.report(1.0)

    with pytest.raises(StateError, match=re.escape("turn.hparams.get('momentum', 0.0)")):
        ramet.run(
            train,
            OPTIMIZERS,
            ramet.RandomSearch(population=8, turn_steps=1),
            steps=2,
            mode="max",
            seed=0,
        )


HOSTILE: dict[str, Any] = {
    "a circle": {"when": [["x", [["y", [1]]]], ["y", [["x", [1]]]]]},
    "another name": {"when": [["z", [["x", [1]]]]]},
    "a condition on nothing": {"when": [["x", [["z", [1]]]]]},
    "a value that none has": {"when": [["x", [["y", [7]]]]]},
    "values that are no list": {"when": [["x", [["y", 1]]]]},
    "values that are dicts": {"when": [["x", [["y", [{}]]]]]},
    "conditions that are text": {"when": "xy"},
    "conditions that are a number": {"when": 5},
    "a limit of no kind": {"limits": [{"type": "Exec", "names": ["x"]}]},
    "a limit of another name": {"limits": [{"type": "AtMost", "low": "x", "high": "z"}]},
    "a limit of a list": {"limits": [{"type": "AtMost", "low": [], "high": "y"}]},
    "a factor that is text": {
        "limits": [{"type": "AtMost", "low": "x", "high": "y", "factor": "1"}]
    },
    "a limit that nothing keeps": {
        "limits": [{"type": "SumAtMost", "names": ["x", "y"], "bound": 1}]
    },
    "too many limits": {"limits": [{"type": "SumAtMost", "names": ["x", "y"], "bound": 9}] * 2_000},
    "an array of other names": {"together": [["z"]]},
    "an array that is text": {"together": ["x"]},
}


@pytest.mark.parametrize("more", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_recorded_space_that_no_run_can_have_is_refused(more: dict[str, Any]) -> None:
    described = Space(x=Integer(1, 3), y=Integer(1, 3)).describe() | more

    with pytest.raises(CorruptLog):
        check_space(described)
    with pytest.raises(ramet.errors.RametError):
        ramet.Schedule(
            (ramet.schedule.Piece(start=0, stop=1, hparams={"x": 1, "y": 1}),), described
        )


def test_what_comes_back_is_in_the_order_of_the_space() -> None:
    space = Space(
        kind=Choice(["x", "y"], ordered=True),
        rate=When(Uniform(0.1, 1.0), kind="x"),
        size=Integer(1, 9),
    )

    back = explore_from(
        space, {"kind": "y", "size": 5}, Perturb(), np.random.default_rng(0), {"rate": 0.5}
    )
    assert back["rate"] == 0.5
    assert list(back) == ["kind", "rate", "size"]


def test_a_recorded_space_of_great_size_is_read_at_once() -> None:
    # Comparing each value with each option, or each part of the name with all names, takes hours.
    options, deep = list(range(200_000)), "deep." * 100_000 + "end"
    domains = {"kind": Choice(options), "rate": Uniform(0.0, 1.0), deep: Uniform(0.0, 1.0)}
    described = {
        "names": list(domains),
        "domains": {name: describe(domain) for name, domain in domains.items()},
        "when": [["rate", [["kind", options]]]],
    }

    assert len(check_space(described).conditions["rate"][0].values) == len(options)
