"""Errors for a device that has no memory left, which are no fault of the user's code."""

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

from ramet.wording import count

# How many worker processes share this one's device, as the engine that started it knows.
SHARERS = "RAMET_DEVICE_WORKERS"
# The part of a device's memory that training can use; the driver and libraries need the rest.
USABLE = 0.9
# What frameworks and the libraries under them say.
SIGNS = (
    "RESOURCE_EXHAUSTED",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "HIP out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
UNITS = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
# "Tried to allocate 2.00 GiB", "Out of memory while trying to allocate 2147483648 bytes".
ASKED = re.compile(r"to allocate (\d+(?:\.\d+)?) ?(Ki|Mi|Gi|Ti|)(?:B|bytes)")


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error, or one that caused it, is that a device has no memory left.

    >>> is_out_of_memory(RuntimeError("RESOURCE_EXHAUSTED: Out of memory"))
    True
    >>> is_out_of_memory(ValueError("RESOURCE_EXHAUSTED is no name of a layer"))
    False
    """
    return any(_is_full(each) for each in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        yield cause
        seen.add(id(cause))
        cause = cause.__cause__


def _is_full(error: BaseException) -> bool:
    # All of PyTorch's and JAX's are of this kind.
    if not isinstance(error, RuntimeError):
        return False
    kind = type(error)
    torchs = kind.__name__ == "OutOfMemoryError" and kind.__module__.startswith("torch")
    return torchs or any(sign in str(error) for sign in SIGNS)


def remedy_for(error: BaseException) -> str:
    """Return what to do about a device that has no memory left, as a sentence.

    Args:
        error: What training raised.
    """
    sharers = int(os.environ.get(SHARERS, "1"))
    asked = next((bytes_ for each in _causes(error) if (bytes_ := asked_for(str(each)))), 0)
    return advise(sharers, _fitting(asked, sharers))


def advise(sharers: int, fitting: int | None) -> str:
    """Return what to do, given how many worker processes share the device.

    >>> advise(4, 2)
    'The device has no memory left. 4 workers share it, and 2 would probably fit: start fewer, as \
with ramet.Processes(2) for one GPU, or train with smaller batches'

    Args:
        sharers: How many share it.
        fitting: How many would fit; None if that is not known.
    """
    full = "The device has no memory left."
    smaller = "train with smaller batches or a smaller model"
    if sharers == 1:
        return f"{full} One worker has it for itself: {smaller}, or end other programs on it"
    shared = f"{full} {count(sharers, 'worker')} share it, and"
    if fitting == 0:
        return f"{shared} not even one would fit: {smaller}"
    fewer = sharers // 2 if fitting is None else min(fitting, sharers - 1)
    would = "may fit, with more memory each" if fitting is None else "would probably fit"
    return (
        f"{shared} {fewer} {would}: start fewer, as with ramet.Processes({fewer}) for one GPU, or "
        f"train with smaller batches"
    )


def asked_for(message: str) -> int:
    """Return the bytes that could not be allocated, if a message says so, or 0.

    >>> asked_for("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has")
    2147483648
    """
    found = ASKED.search(message)
    return int(float(found[1]) * UNITS[found[2]]) if found else 0


def _fitting(asked: int, sharers: int) -> int | None:
    """Return how many processes that need as much as this one would fit; None if unknown."""
    for measure in (_in_torch, _in_jax):
        # Where a driver is out of memory, asking it may fail as well.
        with contextlib.suppress(Exception):
            used, whole = measure(sharers)
            if used:
                return int(USABLE * whole // (used + asked))
    return None


def _in_torch(_sharers: int) -> tuple[int, int]:
    """Return the bytes that PyTorch has on the device at most, and those of the device."""
    cuda: Any = sys.modules["torch"].cuda
    if not cuda.is_initialized():
        return 0, 0
    _, whole = cuda.mem_get_info()
    return cuda.max_memory_reserved(), whole


def _in_jax(sharers: int) -> tuple[int, int]:
    """Return the bytes that JAX has on the device at most, and those of the device."""
    device: Any = sys.modules["jax"].local_devices()[0]
    measured = device.memory_stats() or {}
    names = ("XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_CLIENT_MEM_FRACTION")
    given = [os.environ[name] for name in names if os.environ.get(name)]
    part = float(given[0]) if given else USABLE / sharers
    return measured["peak_bytes_in_use"], int(measured["bytes_limit"] / part)
