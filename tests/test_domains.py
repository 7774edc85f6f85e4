"""Every domain is closed: no draw and no move ever leaves it."""

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

import ramet
from ramet import Choice, Constant, Integer, LogUniform, Perturb, Resample, Uniform
from ramet.domains import Domain
from ramet.errors import SpaceError
from ramet.events import Explored, decode, encode
from tests import values

explores = st.sampled_from([Perturb(), Perturb(redraw=1.0), Resample(), Resample(0.5, Perturb())])


@given(domain=values.domains, rng=values.rngs)
def test_a_draw_is_in_the_domain(domain: Domain, rng: np.random.Generator) -> None:
    assert domain.problem() is None
    assert domain.contains(domain.sample(rng))


@given(domain=values.uniforms() | values.log_uniforms() | values.integers(), rng=values.rngs)
def test_a_draw_is_where_members_start(
    domain: Uniform | LogUniform | Integer, rng: np.random.Generator
) -> None:
    low, high = domain.start or (domain.low, domain.high)

    assert low <= domain.sample(rng) <= high


@given(data=st.data(), domain=values.domains, factor=values.factors)
def test_a_factor_never_moves_a_value_out_of_its_domain(
    data: st.DataObject, domain: Domain, factor: float
) -> None:
    value = data.draw(values.values_of(domain))

    assert domain.contains(domain.perturb(value, factor))


@given(data=st.data(), domain=values.domains, explore=explores, rng=values.rngs)
def test_a_member_explores_inside_the_domain(
    data: st.DataObject, domain: Domain, explore: Perturb | Resample, rng: np.random.Generator
) -> None:
    value = data.draw(values.values_of(domain))

    assert domain.contains(explore.move(domain, value, rng))


@given(data=st.data(), domain=values.domains)
def test_a_factor_of_one_leaves_a_value_where_it_is(data: st.DataObject, domain: Domain) -> None:
    value = data.draw(values.values_of(domain))

    assert domain.perturb(value, 1.0) == value


@given(domain=values.uniforms() | values.log_uniforms() | values.integers(), value=st.floats())
def test_any_number_is_clipped_into_the_domain(
    domain: Uniform | LogUniform | Integer, value: float
) -> None:
    assume(not math.isnan(value))

    assert domain.contains(domain.clip(value))


@given(data=st.data(), domain=values.domains)
def test_clipping_keeps_what_is_in_the_domain(data: st.DataObject, domain: Domain) -> None:
    value = data.draw(values.values_of(domain))

    assert domain.clip(value) == value


@given(domain=values.uniforms() | values.log_uniforms(), rng=values.rngs)
@example(domain=LogUniform(1, 9, start=(3, 3)), rng=np.random.default_rng(0))
def test_a_real_domain_gives_floats(domain: Uniform | LogUniform, rng: np.random.Generator) -> None:
    assert type(domain.sample(rng)) is float


@given(data=st.data(), domain=values.integers(), factor=values.factors)
def test_an_integer_always_moves(data: st.DataObject, domain: Integer, factor: float) -> None:
    assume(factor != 1)
    value = data.draw(values.values_of(domain))

    assert abs(domain.perturb(value, factor) - value) >= 1


@given(data=st.data(), domain=values.choices(ordered=True), factor=values.factors)
def test_an_ordered_choice_moves_to_a_neighbour(
    data: st.DataObject, domain: Choice, factor: float
) -> None:
    assume(factor != 1 and len(domain.options) > 1)
    before = data.draw(st.integers(0, len(domain.options) - 1))

    moved = domain.perturb(domain.options[before], factor)

    after = [place for place, option in enumerate(domain.options) if same(option, moved)]
    assert [abs(place - before) for place in after] == [1]


@given(data=st.data(), domain=values.choices(ordered=False), factor=values.factors)
def test_no_factor_moves_an_unordered_choice(
    data: st.DataObject, domain: Choice, factor: float
) -> None:
    option = data.draw(values.values_of(domain))

    assert same(domain.perturb(option, factor), option)


@given(domain=values.domains, rng=values.rngs)
def test_a_value_read_back_from_the_log_is_still_in_its_domain(
    domain: Domain, rng: np.random.Generator
) -> None:
    event = Explored(member=0, hparams={"x": domain.sample(rng)})

    read = decode(encode(event))

    assert isinstance(read, Explored)
    assert domain.contains(read.hparams["x"])


@pytest.mark.parametrize(
    ("domain", "value", "factor", "moved"),
    [
        (Uniform(1.0, 10.0), 5.0, 1.2, 6.0),
        (Uniform(1.0, 10.0), 9.0, 1.2, 10.0),
        (Uniform(-10.0, -1.0), -5.0, 1.2, -6.0),
        (Uniform(0.0, 1.0), 0.0, 1.2, 0.2),
        (Uniform(0.0, 1.0), 0.0, 0.8, 0.0),
        (Uniform(-1.0, 1.0), 0.0, 0.5, -1.0),
        (Uniform(-1.0, 0.0), -0.5, 1.25, -0.25),
        (LogUniform(1e-4, 1.0), 1e-3, 0.5, 5e-4),
        (LogUniform(1e-4, 1.0), 1e-4, 0.5, 1e-4),
        (Integer(1, 100), 10, 1.2, 12),
        (Integer(1, 100), 1, 1.2, 2),
        (Integer(1, 100), 1, 0.8, 2),
        (Integer(1, 100), 100, 1.2, 99),
        (Integer(-2, 2), 0, 2.0, 2),
        (Integer(-2, 2), 0, 0.9, -1),
        (Integer(1, 512, log=True), 64, 2.0, 128),
        (Choice([32, 64, 128], ordered=True), 64, 0.5, 32),
        (Choice([32, 64, 128], ordered=True), 128, 2.0, 64),
        (Choice(["relu"], ordered=True), "relu", 2.0, "relu"),
        (Choice(["relu", "gelu"]), "relu", 2.0, "relu"),
        (Constant("relu"), "relu", 2.0, "relu"),
    ],
)
def test_a_factor_moves_a_value(domain: Domain, value: Any, factor: float, moved: Any) -> None:
    assert domain.perturb(value, factor) == pytest.approx(moved)


@pytest.mark.parametrize(
    ("domain", "stranger"),
    [
        (Uniform(0.0, 1.0), 1.5),
        (Uniform(0.0, 1.0), math.nan),
        (Uniform(0.0, 1.0), True),
        (Uniform(0.0, 1.0), "0.5"),
        (LogUniform(0.1, 1.0), 0.0),
        (LogUniform(0.1, 1.0), None),
        (Integer(1, 9), 2.0),
        (Integer(0, 1), True),
        (Choice([1, 2]), 1.0),
        (Choice([1, 2]), True),
        (Choice(["a"]), None),
        (Constant(1), 1.0),
        (Uniform(0.0, 1.0), 10**400),
    ],
    ids=lambda case: str(case)[:40],
)
def test_a_domain_knows_what_is_not_in_it(domain: Domain, stranger: object) -> None:
    assert not domain.contains(stranger)


def test_integers_are_drawn_evenly_over_their_range() -> None:
    rng = np.random.default_rng(0)

    drawn = [Integer(1, 4).sample(rng) for _ in range(4_000)]

    assert np.bincount(drawn)[1:] == pytest.approx([1_000] * 4, rel=0.1)


def test_log_integers_are_drawn_evenly_over_their_logarithm() -> None:
    rng = np.random.default_rng(0)

    drawn = [Integer(1, 10_000, log=True).sample(rng) for _ in range(4_000)]

    assert np.mean([value < 100 for value in drawn]) == pytest.approx(0.5, abs=0.05)


def test_log_reals_are_drawn_evenly_over_their_logarithm() -> None:
    rng = np.random.default_rng(0)

    drawn = [LogUniform(1e-4, 1.0).sample(rng) for _ in range(4_000)]

    assert np.mean([value < 1e-2 for value in drawn]) == pytest.approx(0.5, abs=0.03)


def same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (lambda: Uniform(1e-5, 1e-1, log=True), "LogUniform(1e-05, 0.1)"),
        (lambda: Uniform(1e-5, 1e-1, log=False), "Uniform(1e-05, 0.1)"),
        (lambda: LogUniform(1e-5, 1e-1, base=10), "LogUniform(1e-05, 0.1)"),
        (lambda: Uniform(0.0, 1.0, log=True), "LogUniform(low, 1.0), with 0 < low"),
        (lambda: Uniform("lr", 0.0, 1.0), "Uniform(0.0, 1.0)"),
        (lambda: Uniform(lower=0.0, upper=1.0), "Uniform(0.0, 1.0)"),
        (lambda: Uniform(0.0, 1.0, q=0.25), "Choice([0.0, 0.25, 0.5, 0.75, 1.0], ordered=True)"),
        (lambda: Uniform(0.0, 0.3, step=0.1), "Choice([0.0, 0.1, 0.2, 0.3], ordered=True)"),
        (lambda: Integer(1, 9, step=4), "Choice([1, 5, 9], ordered=True)"),
        (lambda: Integer(1, 9, step=1), "Integer(1, 9)"),
        (lambda: Integer("depth", 1, 9, log=True), "Integer(1, 9, log=True)"),
        (lambda: Choice(32, 64), "Choice([32, 64])"),
        (lambda: Choice("batch", [32, 64]), "Choice([32, 64])"),
        (lambda: Choice(choices=[32, 64]), "Choice([32, 64])"),
        (lambda: Constant(32, 64), "Choice([32, 64])"),
    ],
)
def test_a_domain_as_other_libraries_write_it_is_answered_with_ours(
    written: Any, meant: str
) -> None:
    with pytest.raises(SpaceError, match=f"; write {re.escape(meant)}$"):
        written()


@pytest.mark.parametrize(
    ("written", "takes"),
    [
        (Uniform, "(low, high, start=, explore=), but got Uniform()"),
        (lambda: Uniform(0.0, 1.0, mean=3), "Uniform(0.0, 1.0, mean=3)"),
        (lambda: Uniform(0.0, 1.0, step=1e-9), "Uniform(0.0, 1.0, step=1e-09)"),
        (lambda: Uniform(0.0, math.inf, step=1), "Uniform(0.0, inf, step=1)"),
        (lambda: Uniform(1.0, 0.0, step=0.5), "Uniform(1.0, 0.0, step=0.5)"),
        (Choice, "(options, ordered=, explore=), but got Choice()"),
    ],
)
def test_a_call_that_means_nothing_is_answered_with_the_arguments(written: Any, takes: str) -> None:
    with pytest.raises(SpaceError, match=f"takes .*{re.escape(takes)}$"):
        written()


def test_a_name_of_another_library_is_answered_with_ours() -> None:
    with pytest.raises(AttributeError, match=r"has no attribute 'randint'; .* is ramet\.Integer"):
        ramet.randint  # noqa: B018 - to look is enough
