"""Convolutions with filters of each member's own: which way of writing them is the fastest.

The network has two of them on images of 28 by 28 pixels, 16 filters of 3 by 3 and 32 of 5 by 5,
each with a stride of 2. What is timed is the gradient of its loss, for all members.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.device.writing import Part, seconds

BATCH, SIZE, STRIDE = 32, 28, 2
FILTERS = {"f1": (16, 1, 3, 3), "f2": (32, 16, 5, 5)}


def measure(part: Part, framework: str) -> None:
    sizes = [1, 4] if part.small else [128, 1, 32, 512, 8]
    ways, time_ = (IN_JAX, in_jax) if framework == "jax" else (IN_TORCH, in_torch)
    for members in sizes:
        for how, convolve in ways.items():
            part.measure(
                functools.partial(time_, convolve, members, BATCH),
                framework=framework,
                members=members,
                how=how,
                needs_s=8,
            )


def arrays(members: int, batch: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return each member's filters and images."""
    rng = np.random.default_rng(0)
    filters = {
        name: (0.1 * rng.normal(size=(members, *shape))).astype(np.float32)
        for name, shape in FILTERS.items()
    }
    return filters, rng.normal(size=(members, batch, 1, SIZE, SIZE)).astype(np.float32)


def in_jax(convolve: Any, members: int, batch: int) -> dict[str, Any]:
    """Return how long the gradients of all members take, and one number to compare."""
    import jax  # noqa: PLC0415 - each framework only where it is measured

    def loss(filters: Any, images: Any) -> Any:
        hidden = jax.nn.relu(convolve(images, filters["f1"]))
        hidden = jax.nn.relu(convolve(hidden, filters["f2"]))
        return (hidden**2).mean()

    given = jax.device_put(arrays(members, batch))
    if convolve is grouped_one_by_one:
        program = jax.jit(lambda *own: jax.lax.map(lambda each: jax.grad(loss)(*each), own))
    else:
        program = jax.jit(jax.vmap(jax.grad(loss)))
    taken_s = seconds(lambda: program(*given), jax.block_until_ready)
    return {"ms": 1_000 * taken_s, "sum": float(abs(program(*given)["f1"]).sum())}


def grouped(images: Any, filters: Any) -> Any:
    import jax  # noqa: PLC0415 - as above

    return jax.lax.conv_general_dilated(images, filters, (STRIDE, STRIDE), "SAME")


def grouped_one_by_one(images: Any, filters: Any) -> Any:
    return grouped(images, filters)


def grouped_channels_last(images: Any, filters: Any) -> Any:
    import jax  # noqa: PLC0415 - as above

    made = jax.lax.conv_general_dilated(
        images.transpose(0, 2, 3, 1),
        filters.transpose(2, 3, 1, 0),
        (STRIDE, STRIDE),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return made.transpose(0, 3, 1, 2)


def patches(images: Any, filters: Any) -> Any:
    import jax  # noqa: PLC0415 - as above

    windows = jax.lax.conv_general_dilated_patches(
        images, filters.shape[2:], (STRIDE, STRIDE), "SAME"
    )
    return jax.numpy.einsum("bkhw,ok->bohw", windows, filters.reshape(len(filters), -1))


def shifted(images: Any, filters: Any) -> list[tuple[Any, int, int]]:
    """Return the images shifted for each element of a filter, padded as SAME does."""
    tall, wide = filters.shape[2:]
    size = -(-images.shape[2] // STRIDE)
    needed = [(size - 1) * STRIDE + length - images.shape[2] for length in (tall, wide)]
    pads = [(missing // 2, missing - missing // 2) for missing in needed]
    padded = _pad(images, pads)
    until = (size - 1) * STRIDE + 1
    return [
        (padded[:, :, down : down + until : STRIDE, right : right + until : STRIDE], down, right)
        for down in range(tall)
        for right in range(wide)
    ]


def _pad(images: Any, pads: list[tuple[int, int]]) -> Any:
    if type(images).__module__.startswith("torch"):
        from torch.nn import functional  # noqa: PLC0415 - as above

        return functional.pad(images, (*pads[1], *pads[0]))
    import jax  # noqa: PLC0415 - as above

    return jax.numpy.pad(images, [(0, 0), (0, 0), *pads])


def slices(images: Any, filters: Any) -> Any:
    import jax  # noqa: PLC0415 - as above

    windows = jax.numpy.stack([part for part, *_ in shifted(images, filters)], axis=2)
    flat = filters.reshape(*filters.shape[:2], -1)
    return jax.numpy.einsum("bckhw,ock->bohw", windows, flat)


def slices_channels_last(images: Any, filters: Any) -> Any:
    """Gather windows with their numbers next to one another, for one matrix product a member."""
    import jax  # noqa: PLC0415 - as above

    parts = [part.transpose(0, 2, 3, 1) for part, *_ in shifted(images, filters)]
    windows = jax.numpy.concatenate(parts, axis=-1)
    flat = filters.transpose(2, 3, 1, 0).reshape(-1, len(filters))
    return (windows @ flat).transpose(0, 3, 1, 2)


def ramets(images: Any, filters: Any) -> Any:
    import ramet.jax  # noqa: PLC0415 - as above

    return ramet.jax.conv(images, filters, STRIDE, channels="first")


def added_up_channels_last(images: Any, filters: Any) -> Any:
    """Multiply what each element of the filters sees by itself, without gathering windows."""
    return sum(
        part.transpose(0, 2, 3, 1) @ filters[:, :, down, right].T
        for part, down, right in shifted(images, filters)
    ).transpose(0, 3, 1, 2)


def added_up(images: Any, filters: Any) -> Any:
    import jax  # noqa: PLC0415 - as above

    return sum(
        jax.numpy.einsum("bchw,oc->bohw", part, filters[:, :, down, right])
        for part, down, right in shifted(images, filters)
    )


IN_JAX: dict[str, Callable[..., Any]] = {
    "grouped": grouped,
    "ramet.jax.conv": ramets,
    "added up, channels last": added_up_channels_last,
    "slices, channels last": slices_channels_last,
    "patches": patches,
    "slices": slices,
    "one by one": grouped_one_by_one,
    "added up": added_up,
    "grouped, channels last": grouped_channels_last,
}


def in_torch(convolve: Any, members: int, batch: int) -> dict[str, Any]:
    """Return how long the gradients of all members take, and one number to compare."""
    import torch  # noqa: PLC0415 - as above
    from torch.func import grad  # noqa: PLC0415 - as above

    from ramet.torch.graphs import capture_in_cuda_graph, trace  # noqa: PLC0415 - as above

    def loss(filters: Any, images: Any) -> Any:
        hidden = torch.relu(convolve(images, filters["f1"]))
        hidden = torch.relu(convolve(hidden, filters["f2"]))
        return (hidden**2).mean()

    on = "cuda" if torch.cuda.is_available() else "cpu"
    filters, images = arrays(members, batch)
    given = (
        {name: torch.as_tensor(f).to(on) for name, f in filters.items()},
        torch.as_tensor(images).to(on),
    )
    with torch.no_grad():
        program = trace(torch.vmap(grad(loss)), *given, compiled=False)
        total = float(program(*given)["f1"].abs().sum())
        if on == "cpu":
            taken_s = seconds(lambda: program(*given), lambda made: made)
        else:
            replay = capture_in_cuda_graph(lambda: program(*given) and None, lambda: None)
            taken_s = seconds(replay, lambda _: torch.cuda.synchronize())
    return {"ms": 1_000 * taken_s, "sum": total}


def mapped_conv2d(images: Any, filters: Any) -> Any:
    from torch.nn import functional  # noqa: PLC0415 - as above

    # An even stride and odd filters: SAME pads one less in front.
    tall, wide = filters.shape[2:]
    padded = functional.pad(
        images, ((wide - 2) // 2, (wide - 1) // 2, (tall - 2) // 2, (tall - 1) // 2)
    )
    return functional.conv2d(padded, filters, stride=STRIDE)


def unfolded(images: Any, filters: Any) -> Any:
    from torch.nn import functional  # noqa: PLC0415 - as above

    tall, wide = filters.shape[2:]
    padded = functional.pad(
        images, ((wide - 2) // 2, (wide - 1) // 2, (tall - 2) // 2, (tall - 1) // 2)
    )
    windows = functional.unfold(padded, (tall, wide), stride=STRIDE)
    made = filters.flatten(1) @ windows
    size = -(-images.shape[2] // STRIDE)
    return made.unflatten(-1, (size, size))


def torch_slices_channels_last(images: Any, filters: Any) -> Any:
    import torch  # noqa: PLC0415 - as above

    parts = [part.permute(0, 2, 3, 1) for part, *_ in shifted(images, filters)]
    windows = torch.cat(parts, dim=-1)
    flat = filters.permute(2, 3, 1, 0).reshape(-1, len(filters))
    return (windows @ flat).permute(0, 3, 1, 2)


def torch_added_up(images: Any, filters: Any) -> Any:
    import torch  # noqa: PLC0415 - as above

    return sum(
        torch.einsum("bchw,oc->bohw", part, filters[:, :, down, right])
        for part, down, right in shifted(images, filters)
    )


IN_TORCH: dict[str, Callable[..., Any]] = {
    "vmap(conv2d)": mapped_conv2d,
    "slices, channels last": torch_slices_channels_last,
    "unfold": unfolded,
    "added up": torch_added_up,
}
