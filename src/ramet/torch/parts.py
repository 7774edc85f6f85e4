"""The parts of a state, which are captured, compared and restored one by one."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch

from ramet.state import State, Tree, adapt, generators
from ramet.torch.differences import numbers_differ
from ramet.torch.tensors import Arrays, borrow, clone, rebuild


class Part(Protocol):
    """One of the objects that follow a member."""

    @property
    def kind(self) -> str:
        """The kind of object. A saved part of another kind does not fit."""
        ...

    @property
    def may_refuse(self) -> bool:
        """Whether restoring runs code of the object, which may raise."""
        ...

    def capture(self, arrays: Arrays) -> Tree:
        """Return the state of the object as a tree."""
        ...

    def differences(self, saved: Tree) -> Iterator[str]:
        """Yield a sentence for each thing in a saved part that does not fit."""
        ...

    def restore(self, saved: Tree) -> None:
        """Restore a saved part that fits."""
        ...


class Loadable:
    """Anything with ``state_dict`` and ``load_state_dict``: schedulers, scalers, samplers."""

    may_refuse = True

    def __init__(self, thing: "HasStateDict", label: str) -> None:
        self._thing, self._label = thing, label
        self.kind = type(thing).__name__

    def capture(self, arrays: Arrays) -> Tree:
        return arrays.of(self._thing.state_dict(), f"{self._label}.state_dict()")

    def differences(self, saved: Tree) -> Iterator[str]:
        yield from ()

    def restore(self, saved: Tree) -> None:
        self._thing.load_state_dict(rebuild(saved, self._thing.state_dict(), clone))


class HasStateDict(Protocol):
    """An object with the two methods that PyTorch saves and loads by."""

    def state_dict(self) -> dict[str, object]: ...

    def load_state_dict(self, state_dict: dict[str, object], /) -> object: ...


class Own:
    """A dict, or another object that captures and restores itself."""

    may_refuse = True

    def __init__(self, thing: object) -> None:
        self._state: State = adapt(thing)
        self.kind = type(thing).__name__

    def capture(self, arrays: Arrays) -> Tree:
        return self._state.capture()

    def differences(self, saved: Tree) -> Iterator[str]:
        yield from ()

    def restore(self, saved: Tree) -> None:
        self._state.restore(saved)


class TensorPart:
    """A single tensor, such as a parameter outside of any module."""

    kind, may_refuse = "Tensor", False

    def __init__(self, tensor: torch.Tensor, label: str) -> None:
        self.tensor, self._label = tensor, label

    def capture(self, arrays: Arrays) -> Tree:
        return arrays.of(self.tensor, self._label)

    def differences(self, saved: Tree) -> Iterator[str]:
        yield from numbers_differ(self._label, saved, self.tensor)

    def restore(self, saved: Tree) -> None:
        self.tensor.copy_(borrow(saved))


class GeneratorPart:
    """A generator of random numbers of PyTorch."""

    kind, may_refuse = "Generator", False

    def __init__(self, generator: torch.Generator, label: str) -> None:
        self._generator, self._label = generator, label

    def capture(self, arrays: Arrays) -> Tree:
        return arrays.of(self._generator.get_state(), self._label)

    def differences(self, saved: Tree) -> Iterator[str]:
        yield from numbers_differ(self._label, saved, self._generator.get_state())

    def restore(self, saved: Tree) -> None:
        self._generator.set_state(clone(saved, None))


class NumpyDraws:
    """A generator of random numbers of NumPy."""

    kind, may_refuse = "numpy.Generator", False

    def __init__(self, generator: np.random.Generator, label: str) -> None:
        self._generator, self._label = generator, label

    def capture(self, arrays: Arrays) -> Tree:
        return generators.copy(self._generator)

    def differences(self, saved: Tree) -> Iterator[str]:
        was, here = generators.kind_of(saved), generators.kind_of(self._generator)
        if was != here:
            yield f"{self._label} was a {was} and is a {here} here"

    def restore(self, saved: Tree) -> None:
        generators.restore(self._generator, saved)
