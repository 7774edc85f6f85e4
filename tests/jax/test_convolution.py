"""A convolution as a matrix product is the one that JAX has, with filters of each member's own."""

from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import numpy as jnp

import ramet.jax
from ramet.errors import UsageError

LAYOUTS = {
    1: ("NWC", "WIO", "NWC"),
    2: ("NHWC", "HWIO", "NHWC"),
    3: ("NDHWC", "DHWIO", "NDHWC"),
}


def random(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32))


def expected(x: Any, w: Any, strides: Any, padding: Any, dilation: Any) -> jax.Array:
    made: jax.Array = jax.lax.conv_general_dilated(
        x, w, strides, padding, rhs_dilation=dilation, dimension_numbers=LAYOUTS[w.ndim - 2]
    )
    return made


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, ...]:
    axes = draw(st.integers(1, 3))

    def each(low: int, high: int) -> list[int]:
        return [draw(st.integers(low, high)) for _ in range(axes)]

    space, size, strides, dilation = each(1, 7), each(1, 3), each(1, 3), each(1, 2)
    pads = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=axes, max_size=axes)
    padding = draw(st.sampled_from(["SAME", "VALID"]) | pads)
    extents = [(n - 1) * gap + 1 for n, gap in zip(size, dilation, strict=True)]
    if padding != "SAME":
        around = [(0, 0)] * axes if padding == "VALID" else padding
        assume(all(n + sum(p) >= e for n, p, e in zip(space, around, extents, strict=True)))
    channels, made = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return random(2, *space, channels), random(*size, channels, made), strides, padding, dilation


@settings(max_examples=60)
@given(cases())
def test_it_is_the_convolution_of_jax(case: tuple[Any, ...]) -> None:
    x, w, strides, padding, dilation = case
    made = ramet.jax.conv(x, w, strides, padding, dilation=dilation)
    np.testing.assert_allclose(made, expected(*case), atol=1e-4)


@pytest.mark.parametrize("padding", ["SAME", "VALID", [(2, 0), (1, 1)], [(-1, 0), (0, 1)]])
def test_gradients_of_each_members_own_filters_are_those_of_jax(padding: Any) -> None:
    x, w = random(3, 2, 8, 7, 2), random(3, 3, 2, 2, 4)

    def slope(convolve: Any) -> Any:
        def loss(x: Any, w: Any) -> Any:
            return jnp.sum(jnp.sin(convolve(x, w)))

        return jax.jit(jax.vmap(jax.grad(loss, argnums=(0, 1))))(x, w)

    ours = slope(lambda x, w: ramet.jax.conv(x, w, (2, 1), padding))
    theirs = slope(lambda x, w: expected(x, w, (2, 1), padding, (1, 1)))
    for own, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(own, other, atol=1e-4)


def test_channels_may_come_first_as_in_the_defaults_of_jax() -> None:
    x, w = random(2, 3, 8, 7), random(5, 3, 3, 2)
    made = ramet.jax.conv(x, w, 2, channels="first")
    np.testing.assert_allclose(made, jax.lax.conv_general_dilated(x, w, (2, 2), "SAME"), atol=1e-4)


def test_members_with_filters_of_their_own_are_no_grouped_convolution() -> None:
    x, w = random(3, 2, 8, 8, 2), random(3, 3, 3, 2, 4)
    program = str(jax.make_jaxpr(jax.vmap(ramet.jax.conv))(x, w))
    assert "conv_general_dilated" not in program
    assert program.count("dot_general") == 1


@pytest.mark.parametrize(
    ("change", "law"),
    [
        ({"strides": 0}, "strides must be a whole number above 0, or one for each of 2 axes"),
        ({"strides": (1, 2, 3)}, "strides must be a whole number above 0"),
        ({"dilation": 1.5}, "dilation must be a whole number above 0"),
        ({"padding": "FULL"}, "padding must be 'SAME', 'VALID' or a pair of numbers"),
        ({"padding": [(1, 1)]}, "padding must have a pair of numbers for each of 2 axes"),
        ({"channels": "middle"}, "channels must be 'last' or 'first', but got 'middle'"),
        ({"filters": random(3, 3, 1, 4)}, "with the same number of input channels"),
        ({"filters": random(3, 2, 4)}, "with the same number of input channels"),
    ],
)
def test_what_cannot_be_convolved_is_refused(change: dict[str, Any], law: str) -> None:
    given = {"inputs": random(2, 8, 8, 2), "filters": random(3, 3, 2, 4), **change}
    with pytest.raises(UsageError, match=law):
        ramet.jax.conv(**given)
