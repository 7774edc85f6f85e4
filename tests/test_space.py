"""A space holds its members' values, and refuses what could not be held when it is built."""

import enum
import math
import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet import Choice, Constant, Integer, LogUniform, Space, Uniform
from ramet.domains import Domain
from ramet.errors import SpaceError, UnknownHyperparameter
from tests import values


class FloatDistribution(SimpleNamespace): ...


class IntDistribution(SimpleNamespace): ...


class Float(SimpleNamespace): ...


class Categorical(SimpleNamespace): ...


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


@given(space=values.spaces, rng=values.rngs)
def test_a_draw_is_in_the_space(space: Space, rng: np.random.Generator) -> None:
    assert space.problem(space.sample(rng)) is None


@given(bound=st.floats(0.2, 0.8), rng=values.rngs)
def test_a_draw_is_where_the_space_allows(bound: float, rng: np.random.Generator) -> None:
    space = Space(
        low=Uniform(0.0, 1.0), high=Uniform(0.0, 1.0), where=lambda h: h["low"] + bound <= h["high"]
    )

    drawn: dict[str, Any] = space.sample(rng)

    assert drawn["low"] + bound <= drawn["high"]


@given(space=values.spaces, rng=values.rngs)
def test_a_space_is_rebuilt_from_the_json_of_its_description(
    space: Space, rng: np.random.Generator
) -> None:
    stored = msgspec.json.decode(msgspec.json.encode(space.describe()))

    rebuilt = Space.from_description(stored)

    assert rebuilt == space
    assert rebuilt.contains(space.sample(rng))


BAD_DOMAINS: dict[str, tuple[Domain, str]] = {
    "reversed bounds": (Uniform(1.0, 0.0), "low < high must hold"),
    "bounds that are equal": (Uniform(1.0, 1.0), "use Constant"),
    "reversed log bounds": (LogUniform(1.0, 0.1), "low < high must hold"),
    "a log that touches zero": (LogUniform(0.0, 1.0), "0 < low"),
    "a log that crosses zero": (LogUniform(-1.0, 1.0), "0 < low"),
    "a bound that is not a number": (Uniform(0.0, math.nan), "finite"),
    "a bound that is infinite": (Uniform(-math.inf, 0.0), "finite"),
    "a width that is infinite": (Uniform(-1.7e308, 1.7e308), "finite"),
    "a bound beyond the floats": (Uniform(0, 10**400), "finite"),
    "a bound that is text": (Uniform("0", 1.0), "finite"),
    "a bound that is a truth": (Uniform(False, 1.0), "finite"),  # noqa: FBT003 - the point
    "an integer with a fraction": (Integer(1, 2.5), "whole"),
    "an integer beyond what floats hold": (Integer(0, 2**53 + 1), "2\\*\\*53"),
    "reversed integers": (Integer(3, 1), "low < high must hold"),
    "a log integer that touches zero": (Integer(0, 9, log=True), "0 < low"),
    "a start outside": (Uniform(0.0, 1.0, start=(0.5, 1.5)), "start"),
    "a reversed start": (LogUniform(0.1, 1.0, start=(0.5, 0.2)), "start"),
    "a start with one end": (Uniform(0.0, 1.0, start=(0.5,)), "start"),
    "a start that is a number": (Uniform(0.0, 1.0, start=0.5), "start"),
    "an integer's start as a number": (Integer(1, 9, start=5), "start"),
    "an integer's start with fractions": (Integer(1, 9, start=(1, 2.5)), "whole"),
    "no options": (Choice([]), "at least one option"),
    "options as one string": (Choice("adam"), "must be a list"),
    "options without an order": (Choice({"a", "b"}), "must be a list"),
    "options as bytes": (Choice(b"ab"), "must be a list"),
    "options as a range": (Choice(range(1, 9)), r"write Integer\(1, 8\)"),
    "options as a number": (Choice(5), "must be a list"),
    "options twice": (Choice([1, 2, 1]), "distinct"),
    "an option that is a list": (Choice([[1], [2]]), "distinct finite"),
    "an option that is not a number": (Choice([1.0, math.nan]), "distinct finite"),
    "an option that is infinite": (Choice([1.0, math.inf]), "distinct finite"),
    "an option beyond the floats": (Choice([1, 10**400]), "distinct finite"),
    "an option that is code": (Choice([print, max]), "give anything else a name"),
    "an option that is read back as text": (Choice(list(Colour)), "distinct finite"),
    "an option that UTF-8 does not have": (Choice(["\ud800"]), "distinct finite"),
    "a constant that is a list": (Constant([1]), "must be a finite number"),
    "a constant that is not a number": (Constant(math.nan), "must be a finite number"),
}


@pytest.mark.parametrize(("domain", "law"), BAD_DOMAINS.values(), ids=BAD_DOMAINS.keys())
def test_a_bad_domain_is_refused_by_its_hyperparameters_name(domain: Domain, law: str) -> None:
    with pytest.raises(SpaceError, match=f"(?s)'optimiser.lr'.*{law}"):
        Space(optimiser={"lr": domain})


@pytest.mark.parametrize(
    "domain",
    [Uniform(*np.linspace(0.0, 1.0, 2)), Choice(np.linspace(0.0, 1.0, 3)), Constant(np.float64(1))],
)
def test_a_space_written_with_numpy_floats_can_be_logged(domain: Domain) -> None:
    # np.float64 is a float, but not one that JSON encoders take.
    space = Space(x=domain)

    written = [space.describe(), space.sample(np.random.default_rng(0))]

    assert msgspec.json.decode(msgspec.json.encode(written)) == written


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        (0.1, "write Constant(0.1)"),
        ("relu", "write Constant('relu')"),
        ((0.0, 1.0), "write Uniform(0.0, 1.0)"),
        ((1, 8), "write Integer(1, 8)"),
        ([32, 64], "write Choice([32, 64])"),
        (range(1, 9), "write Integer(1, 8)"),
        (range(1, 9, 4), "write Choice([1, 5])"),
        (Choice, "but got <class"),
        # Distributions of Optuna and Ray Tune, by their attributes.
        (FloatDistribution(low=1e-5, high=0.1, log=True), "write LogUniform(1e-05, 0.1)"),
        (IntDistribution(low=1, high=8, log=False), "write Integer(1, 8)"),
        (IntDistribution(low=1, high=8, step=1), "write Integer(1, 8)"),
        (IntDistribution(low=1, high=9, step=4), "write Choice([1, 5, 9], ordered=True)"),
        (Float(lower=0.0, upper=1.0), "write Uniform(0.0, 1.0)"),
        (Categorical(categories=["relu"]), "write Choice(['relu'])"),
    ],
)
def test_what_is_no_domain_is_refused_with_its_remedy(written: object, remedy: str) -> None:
    with pytest.raises(SpaceError, match=f"'lr' must be a domain.*{re.escape(remedy)}"):
        Space(lr=written)


@pytest.mark.parametrize("build", [Space, Space.of])
@pytest.mark.parametrize("written", [Uniform(0.0, 1.0), [("lr", Uniform(0.0, 1.0))], "lr"])
def test_what_is_no_dict_is_refused_as_a_space(build: Any, written: object) -> None:
    with pytest.raises(SpaceError, match=r"space must be a Space, .* or a dict, .* but got"):
        build(written)


def test_a_where_among_the_domains_of_a_dict_is_answered_with_the_argument() -> None:
    with pytest.raises(SpaceError, match=r"write Space\(\{\.\.\.\}, where=\.\.\.\)"):
        Space.of({"lr": Uniform(0.0, 1.0), "where": lambda h: h["lr"] < 1})


@pytest.mark.parametrize(
    ("names", "law"),
    [
        ({}, "at least one hyperparameter"),
        ({"a": {}}, "at least one hyperparameter"),
        ({"a": Uniform(0.0, 1.0), "a.b": Uniform(0.0, 1.0)}, "'a' is both.*'a.b'"),
        ({"a.b": Uniform(0.0, 1.0), "a": {"b": Uniform(0.0, 1.0)}}, "'a.b' twice"),
        ({"": Uniform(0.0, 1.0)}, "must not be empty"),
        ({"a.": Uniform(0.0, 1.0)}, "must not be empty"),
        ({"a": {"": Uniform(0.0, 1.0)}}, "must not be empty"),
        ({1: Uniform(0.0, 1.0)}, "name"),
    ],
)
def test_bad_names_are_refused(names: Mapping[str, Any], law: str) -> None:
    with pytest.raises(SpaceError, match=law):
        Space(names)


def test_a_name_given_both_ways_is_refused() -> None:
    with pytest.raises(SpaceError, match="'lr' twice"):
        Space({"lr": Uniform(0.0, 1.0)}, lr=Uniform(5.0, 6.0))


def test_an_impossible_where_is_refused_when_members_are_drawn() -> None:
    space = Space(lr=Uniform(0.0, 1.0), where=lambda h: h["lr"] > 1)

    with pytest.raises(SpaceError, match=r"where= must accept .* rejected 1,000 draws"):
        space.sample(np.random.default_rng(0))


def test_nested_spaces_become_dotted_names() -> None:
    inner = Space(p=Uniform(0.0, 1.0), n=Integer(1, 9))

    assert list(Space(lr=LogUniform(0.1, 1.0), augment=inner)) == ["lr", "augment.p", "augment.n"]


def test_a_nested_where_sees_the_names_that_it_was_written_with() -> None:
    inner = Space(p=Uniform(0.0, 1.0), where=lambda h: dict(h) == {"p": 0.5})
    space = Space(lr=Uniform(0.0, 1.0), train={"augment": inner})

    assert space.allows({"lr": 0.1, "train.augment.p": 0.5})
    assert not space.allows({"lr": 0.1, "train.augment.p": 0.6})


def test_a_space_extended_by_others_keeps_its_where() -> None:
    base = Space(lr=Uniform(0.0, 1.0), where=lambda h: h["lr"] > 0.5)

    assert not Space(base, decay=Uniform(0.0, 1.0)).allows({"lr": 0.1, "decay": 0.1})


def test_where_cannot_change_the_values_that_it_sees() -> None:
    hparams = {"lr": 0.5}

    def mischief(seen: Any) -> bool:
        seen["lr"] = 2.0
        return True

    with pytest.raises(SpaceError, match=r"where= must accept or reject, but .* raised TypeError"):
        Space(lr=Uniform(0.0, 1.0), where=mischief).allows(hparams)
    assert hparams == {"lr": 0.5}


def test_where_may_read_nested_values_as_they_are_nested() -> None:
    inner = Space(n=Integer(1, 9))
    space = Space(opt=inner, where=lambda h: h["opt"]["n"] == h["opt.n"] > 4)

    assert space.allows({"opt.n": 5})
    assert not space.allows({"opt.n": 4})


def test_where_that_reads_what_the_space_does_not_have_is_refused_by_name() -> None:
    with pytest.raises(UnknownHyperparameter, match="did you mean 'lr'"):
        Space(lr=Uniform(0.0, 1.0), where=lambda h: h["lrr"] > 0).allows({"lr": 0.5})


def test_where_that_answers_nothing_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"must return True or False, but .* returned None"):
        Space(lr=Uniform(0.0, 1.0), where=lambda h: None).allows({"lr": 0.5})


@pytest.mark.parametrize(
    ("hparams", "problem"),
    [
        ({}, "['lr', 'augment.n'] missing;"),
        ({"lr": 0.5, "augment.n": 2, "decay": 0.1}, "['decay'] unknown;"),
        ({"lr": 2.0, "augment.n": 2}, "'lr' must be in Uniform"),
        ({"lr": 0.5, "augment.n": 2.0}, "'augment.n' must be in Integer"),
        ({"lr": 0.9, "augment.n": 2}, "where= rejects"),
    ],
)
def test_a_space_says_why_values_are_not_in_it(hparams: dict[str, Any], problem: str) -> None:
    space = Space(
        {"lr": Uniform(0.0, 1.0), "augment.n": Integer(1, 9)}, where=lambda h: h["lr"] < 0.8
    )

    assert problem in str(space.problem(hparams))
    assert not space.contains(hparams)


def test_a_starting_point_may_be_nested_whole_and_of_numpy() -> None:
    space = Space(lr=Uniform(0.0, 1.0), augment=Space(n=Integer(1, 9)))

    adopted = space.adopt({"augment": {"n": np.int64(3)}, "lr": 1}, "a point")

    assert [(name, type(value), value) for name, value in adopted.items()] == [
        ("lr", float, 1.0),
        ("augment.n", int, 3),
    ]


def test_a_starting_point_outside_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"starting point must lie in the space: 'lr'.*2\.0"):
        Space(lr=Uniform(0.0, 1.0)).adopt({"lr": 2}, "a starting point")


def test_equal_spaces_have_equal_hashes() -> None:
    one = Space(a=Uniform(0.0, 1.0), b=Uniform(0.0, 1.0))
    other = Space(b=Uniform(0.0, 1.0), a=Uniform(0.0, 1.0))

    assert one != other or hash(one) == hash(other)


def test_a_dict_of_domains_is_a_space() -> None:
    space = Space.of({"lr": LogUniform(1e-4, 1.0), "augment": {"p": Uniform(0.0, 1.0)}})

    assert space == Space(lr=LogUniform(1e-4, 1.0), augment=Space(p=Uniform(0.0, 1.0)))
    assert Space.of(space) is space


def test_what_is_neither_a_space_nor_a_dict_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"space must be a Space, .* or a dict, .* but got 3"):
        Space.of(3)
