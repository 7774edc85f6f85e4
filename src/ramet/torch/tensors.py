"""Tensors as NumPy arrays and back, in the same memory where possible."""

import importlib
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from ramet.errors import StateError
from ramet.state.tree import LEAVES, Tree

# Makes a tensor of a saved array, given the object that is at its place now.
Revive: TypeAlias = Callable[[NDArray[Any], Any], torch.Tensor]

# Dtypes that NumPy has only with ml_dtypes, by the names that PyTorch uses too.
EXTENDED = (
    "bfloat16",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
)
# Integers of the same size, as which such numbers are exchanged.
BITS: dict[int, tuple[torch.dtype, np.dtype[Any]]] = {
    1: (torch.uint8, np.dtype(np.uint8)),
    2: (torch.int16, np.dtype(np.int16)),
}
# Marks an array that was no tensor, so that it is restored as an array.
NUMPY = "ramet.numpy"


def array_of(tensor: torch.Tensor, place: str) -> NDArray[Any]:
    """Return a tensor's numbers. On the CPU the array shares the tensor's memory."""
    if problem := _problem(tensor):
        raise StateError(f"a state's tensors must be plain numbers, but {place} {problem}")
    name = str(tensor.dtype).removeprefix("torch.")
    if name in EXTENDED:
        bits, _ = BITS[tensor.dtype.itemsize]
        array: NDArray[Any] = tensor.detach().view(bits).numpy(force=True)
        return array.view(load_dtype(name))
    try:
        return tensor.numpy(force=True)
    except TypeError as error:
        raise StateError(
            f"a state's tensors must be of numbers that a checkpoint can hold, but {place} is of "
            f"{tensor.dtype} ({error}); keep it in another dtype, or leave it out"
        ) from None


def borrow(array: NDArray[Any]) -> torch.Tensor:
    """Return a tensor that shares an array's memory. It must not be written to."""
    if array.dtype.name not in EXTENDED:
        return torch.as_tensor(_unlock(array))
    _, bits = BITS[array.dtype.itemsize]
    return torch.as_tensor(_unlock(array.view(bits))).view(getattr(torch, array.dtype.name))


def empty_on_host(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """Return memory that a GPU reads and writes by itself; plain memory if there is none left."""
    # Not on the default device, which may be the GPU.
    try:
        return torch.empty(shape, dtype=dtype, device="cpu", pin_memory=True)
    except RuntimeError:
        return torch.empty(shape, dtype=dtype, device="cpu")


def clone(array: NDArray[Any], live: Any) -> torch.Tensor:
    """Return a copy as a tensor, with the device and dtype of the current one."""
    tensor = borrow(array)
    if isinstance(live, torch.Tensor):
        return tensor.to(live.device, live.dtype, copy=True)
    return tensor.clone()


def fits(live: Any, array: NDArray[Any]) -> bool:
    """Say whether an array's numbers can be written into the current object."""
    return isinstance(live, torch.Tensor) and tuple(live.shape) == array.shape


class Arrays:
    """Converts values to trees. A tensor at several places becomes one array at all of them."""

    def __init__(self) -> None:
        # With the tensors, because their memory could be reused once they are gone.
        self._made: dict[object, tuple[torch.Tensor, NDArray[Any]]] = {}

    def of(self, value: Any, place: str) -> Tree:
        """Return a value as part of a tree; refuse what a tree cannot hold, by its place."""
        if isinstance(value, torch.Tensor):
            return self._array(value, place)
        if isinstance(value, np.ndarray):
            return {NUMPY: value}
        if isinstance(value, dict):
            return {key: self.of(part, f"{place}[{key!r}]") for key, part in value.items()}
        kind = type(value)
        if kind in {list, tuple, torch.Size}:
            parts = [self.of(part, f"{place}[{nth}]") for nth, part in enumerate(value)]
            return parts if kind is list else tuple(parts)
        if kind in LEAVES or isinstance(value, np.number | np.bool_):
            return value
        raise StateError(
            f"a state must be made of tensors, arrays, numbers, text, dicts, lists and tuples, but "
            f"{place} is of type {kind.__name__}; let state_dict() leave it out, or make it of "
            f"these"
        )

    def _array(self, tensor: torch.Tensor, place: str) -> NDArray[Any]:
        if _problem(tensor) or not tensor.numel():
            return array_of(tensor, place)
        memory = tensor.data_ptr(), tensor.device, tensor.dtype, tensor.shape, tensor.stride()
        if memory not in self._made:
            self._made[memory] = tensor, array_of(tensor, place)
        return self._made[memory][1]


def rebuild(saved: Tree, live: Any, revive: Revive) -> Any:
    """Return saved values in containers of the same kinds as the current ones."""
    if isinstance(saved, np.ndarray):
        is_number = isinstance(live, int | float) and saved.ndim == 0
        return saved.item() if is_number else revive(saved, live)
    if isinstance(live, torch.Tensor) and isinstance(saved, int | float):
        return revive(np.asarray(saved), live)
    if isinstance(saved, dict):
        if NUMPY in saved:
            return np.array(saved[NUMPY])
        at = live if isinstance(live, dict) else {}
        return _like(live, {key: rebuild(saved[key], at.get(key), revive) for key in saved})
    if isinstance(saved, list | tuple):
        beside = list(live) if isinstance(live, list | tuple) else []
        beside += [None] * (len(saved) - len(beside))
        parts = [
            rebuild(part, now, revive)
            for part, now in zip(saved, beside[: len(saved)], strict=True)
        ]
        return (torch.Size if isinstance(live, torch.Size) else type(saved))(parts)
    return saved


def load_dtype(name: str) -> np.dtype[Any]:
    """Return a dtype of the package ml_dtypes."""
    try:
        dtype: np.dtype[Any] = np.dtype(getattr(importlib.import_module("ml_dtypes"), name))
    except (ImportError, AttributeError) as error:
        raise StateError(
            f"numbers of type {name} must be kept by the package ml_dtypes, but {error}; install "
            f"or upgrade it: pip install --upgrade 'ramet[torch]'"
        ) from None
    return dtype


def _like(live: Any, made: dict[Any, Any]) -> dict[Any, Any]:
    """Return a dict as one of the current kind, such as a Counter."""
    if type(live) is dict or not isinstance(live, dict):
        return made
    same = copy(live)
    same.clear()
    same.update(made)
    return same


def _problem(tensor: torch.Tensor) -> str | None:
    """Say why a tensor cannot be saved by its numbers; None if it can."""
    if torch.nn.parameter.is_lazy(tensor):
        return "has no shape yet; call the model once before the state is made"
    if tensor.is_meta:
        return "is on the device 'meta', without numbers; move the model to a real one"
    if tensor.layout is not torch.strided or tensor.is_quantized:
        return "is sparse or quantised; keep its dense numbers, or leave it out"
    if hasattr(tensor, "__tensor_flatten__"):
        kind = type(tensor).__name__
        return f"is of type {kind}, spread over other tensors; keep the whole of it"
    return None


class _Unlocked:
    """Presents a read-only array as writable, because PyTorch warns of any that is not."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        pointer, _ = array.__array_interface__["data"]
        self.__array_interface__ = {**array.__array_interface__, "data": (pointer, False)}


def _unlock(array: NDArray[Any]) -> NDArray[Any]:
    if array.flags.writeable:
        return array
    return np.asarray(_Unlocked(array)) if array.size else array.copy()
