"""Convolutions as matrix products, which stay fast when each member has filters of its own."""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from ramet.errors import UsageError

# Zeros before and after, along each axis of space.
Pads: TypeAlias = Sequence[tuple[int, int]]
# One number for all axes of space, or one for each.
PerAxis: TypeAlias = int | Sequence[int]


def conv(
    inputs: jax.Array,
    filters: jax.Array,
    strides: PerAxis = 1,
    padding: Literal["SAME", "VALID"] | Pads = "SAME",
    *,
    dilation: PerAxis = 1,
    channels: Literal["last", "first"] = "last",
) -> jax.Array:
    """Return a convolution in one, two or more dimensions, computed as one matrix product.

    The result is that of ``jax.lax.conv_general_dilated``, up to the rounding of floats. If
    ``jax.vmap`` maps that function over members that each have their own filters, XLA makes a
    grouped convolution of it, which is slow. This function becomes a batched matrix product.

    >>> x, w = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 16))
    >>> conv(x, w, 2).shape
    (2, 4, 4, 16)

    Args:
        inputs: A batch, ``(batch, height, width, in)`` in two dimensions.
        filters: The filters, ``(height, width, in, out)``.
        strides: The step from one window to the next.
        padding: As many zeros as "SAME" or "VALID" need, or pairs of numbers of zeros.
        dilation: The step from one element of a filter to the next.
        channels: With "first", the arrays are ``(batch, in, height, width)`` and ``(out, in,
            height, width)``, as the defaults of ``jax.lax.conv_general_dilated`` are.
    """
    if channels == "first":
        made = conv(
            jnp.moveaxis(inputs, 1, -1),
            jnp.moveaxis(filters, (1, 0), (-2, -1)),
            strides,
            padding,
            dilation=dilation,
        )
        return jnp.moveaxis(made, -1, 1)
    _check_shapes(inputs.shape, filters.shape, channels)
    *size, _, made_channels = filters.shape
    steps, gaps = _per_axis("strides", strides, size), _per_axis("dilation", dilation, size)
    extents = [(length - 1) * gap + 1 for length, gap in zip(size, gaps, strict=True)]
    padded = _pad(inputs, _pads(padding, inputs.shape[1:-1], extents, steps))
    # The windows' numbers side by side, in the order of the filters'.
    seen = [_shift(padded, at, gaps, extents, steps) for at in np.ndindex(*size)]
    windows = jnp.concatenate(seen, axis=-1)
    return windows @ filters.reshape(-1, made_channels)


def _shift(
    padded: jax.Array,
    at: tuple[int, ...],
    gaps: Sequence[int],
    extents: Sequence[int],
    steps: Sequence[int],
) -> jax.Array:
    """Return what one element of the filters sees in all windows."""
    space = padded.shape[1:-1]
    starts = [place * gap for place, gap in zip(at, gaps, strict=True)]
    ends = [
        start + length - extent + 1
        for start, length, extent in zip(starts, space, extents, strict=True)
    ]
    whole = padded.shape[0], padded.shape[-1]
    return lax.slice(padded, (0, *starts, 0), (whole[0], *ends, whole[1]), (1, *steps, 1))


def _pad(inputs: jax.Array, pads: Pads) -> jax.Array:
    if not any(before or after for before, after in pads):
        return inputs
    # Numbers below zero cut off, as in lax.conv_general_dilated.
    around = [(0, 0, 0), *((before, after, 0) for before, after in pads), (0, 0, 0)]
    return lax.pad(inputs, jnp.zeros((), inputs.dtype), around)


def _pads(
    padding: str | Pads, space: Sequence[int], extents: Sequence[int], steps: Sequence[int]
) -> Pads:
    """Return the zeros before and after along each axis."""
    if isinstance(padding, str):
        if padding.upper() not in {"SAME", "VALID"}:
            raise UsageError(
                f"padding must be 'SAME', 'VALID' or a pair of numbers for each axis of space, but "
                f"got {padding!r}"
            )
        return lax.padtype_to_pads(space, extents, steps, padding.upper())
    pads = [(before, after) for before, after in padding]
    if len(pads) != len(space):
        raise UsageError(
            f"padding must have a pair of numbers for each of {len(space)} axes of space, but got "
            f"{len(pads)}: {pads}"
        )
    return pads


def _per_axis(name: str, given: PerAxis, size: Sequence[int]) -> tuple[int, ...]:
    """Return one number for each axis of space."""
    each: tuple[Any, ...] = tuple(given) if isinstance(given, Sequence) else (given,) * len(size)
    if len(each) != len(size) or not all(isinstance(step, int) and step > 0 for step in each):
        raise UsageError(
            f"{name} must be a whole number above 0, or one for each of {len(size)} axes of space, "
            f"but got {given!r}"
        )
    return each


def _check_shapes(inputs: tuple[int, ...], filters: tuple[int, ...], channels: str) -> None:
    """Refuse arrays that do not fit together, such as those of grouped convolutions."""
    if channels != "last":
        raise UsageError(f"channels must be 'last' or 'first', but got {channels!r}")
    if not 3 <= len(inputs) == len(filters) or inputs[-1] != filters[-2]:  # noqa: PLR2004 - a batch, channels, and some space
        raise UsageError(
            f"inputs must be (batch, *space, in) and filters (*space, in, out), with the same "
            f"number of input channels, but got {inputs} and {filters}; with channels='first' they "
            f"are (batch, in, *space) and (out, in, *space), and there are no groups of channels"
        )
