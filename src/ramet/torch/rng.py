"""The default generators of Python, NumPy and PyTorch."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from ramet.state import Tree
from ramet.state.bit_generators import check_state
from ramet.torch.tensors import Arrays, clone


def seed(number: int) -> None:
    """Seed the default generators of Python, NumPy and PyTorch, on every device.

    Args:
        number: The seed, such as ``session.seed``.

    >>> seed(3)
    >>> drawn = random.random(), float(torch.rand(()))
    >>> seed(3)
    >>> drawn == (random.random(), float(torch.rand(())))
    True
    """
    random.seed(number)
    np.random.seed(number % 2**32)  # noqa: NPY002 - the generator that other code draws from
    torch.manual_seed(number)


class Everybodys:
    """The states of all default generators, so that draws continue where a member's last ended."""

    kind, may_refuse = "rng", False

    def capture(self, arrays: Arrays) -> Tree:
        version, words, gauss = random.getstate()
        numpy: Any = np.random.get_state(legacy=False)  # noqa: NPY002 - as above
        state = {
            "python": (version, np.array(words, np.uint32), gauss),
            "numpy": numpy,
            "torch": arrays.of(torch.get_rng_state(), "rng"),
        }
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # PyTorch has no types here
            devices = torch.cuda.get_rng_state_all()
            state["cuda"] = [arrays.of(device, "rng of a GPU") for device in devices]
        return state

    def differences(self, saved: Tree) -> Iterator[str]:
        try:
            _numpy_state(saved["numpy"])
        except (LookupError, TypeError, ValueError) as error:
            yield f"the state of np.random is incomplete: {error}"

    def restore(self, saved: Tree) -> None:
        version, words, gauss = saved["python"]
        random.setstate((version, tuple(words.tolist()), gauss))
        np.random.set_state(_numpy_state(saved["numpy"]))  # noqa: NPY002 - as above
        torch.set_rng_state(clone(saved["torch"], None))
        # Of the GPUs of this machine; the saved ones may have been more.
        for device, state in zip(
            range(torch.cuda.device_count()), saved.get("cuda", ()), strict=False
        ):
            torch.cuda.set_rng_state(clone(state, None), device)


def _numpy_state(saved: Tree) -> dict[str, Any]:
    """Return the state of np.random; raise if it is incomplete, because NumPy does not."""
    gauss = {"has_gauss": int(saved["has_gauss"]), "gauss": float(saved["gauss"])}
    return {**check_state(saved), **gauss}
