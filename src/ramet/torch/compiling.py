"""Support for torch.compile: dropout that compiles once, and a warning if compiling gave up."""

import logging
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import nn

from ramet.errors import StateError
from ramet.torch.modules import COMPILED
from ramet.warned import warn_once

# The logger by which PyTorch, from 2.0 on, reports that a function reached the limit.
LOGGER = "torch._dynamo.convert_frame"
MET_THE_LIMIT = "hit config."
# Keeps the scale finite where the probability is 1 and nothing is kept.
LARGEST_SCALE = 1e12


class Dropout(nn.Dropout):
    """Dropout like ``torch.nn.Dropout`` that torch.compile compiles once for all probabilities.

    The probability is a tensor. It is not in ``state_dict()``, so checkpoints of
    ``torch.nn.Dropout`` fit. With the same seed, the two modules drop different elements.

    Args:
        p: The probability that an element is set to zero.
        inplace: Whether the input is changed in place.

    >>> dropout = Dropout(0.25)
    >>> dropout
    Dropout(p=0.25, inplace=False)
    >>> dropout.eval()(torch.ones(2))
    tensor([1., 1.])
    """

    p: torch.Tensor  # type: ignore[assignment]  # a float there

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:  # noqa: FBT001, FBT002 - as nn.Dropout takes them
        super().__init__(p, inplace)
        del self.p
        # In 32 bits whatever the default is, because the value is read back and compared.
        self.register_buffer("p", torch.tensor(float(p), dtype=torch.float32), persistent=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - as nn.Dropout has it
        """Drop elements while training; return the input as it is otherwise.

        Args:
            input: A tensor of any shape.
        """
        if not self.training:
            return input
        # In 32 bits, because in 16 a small probability would be rounded.
        dropped = torch.rand_like(input, dtype=torch.float32) < self.p
        largest = min(LARGEST_SCALE, torch.finfo(input.dtype).max)
        scale = (1 / (1 - self.p)).clamp_max(largest).to(input.dtype)
        if self.inplace:
            return input.masked_fill_(dropped, 0).mul_(scale)
        return input.masked_fill(dropped, 0) * scale

    def extra_repr(self) -> str:
        """Return what ``repr`` shows between the parentheses."""
        return f"p={self.p.item():g}, inplace={self.inplace}"

    def _apply(self, fn: Callable[[Any], Any], recurse: bool = True) -> "Dropout":  # noqa: FBT001, FBT002 - as nn.Module has it
        """Apply a conversion of the module, but keep the dtype of the probability."""
        p = self.p
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # PyTorch has no types here
        self.p = p.to(self.p.device)
        return self


def replace_dropout(model: nn.Module) -> None:
    """Replace every ``torch.nn.Dropout`` in a model with a ``Dropout`` of the same probability.

    Args:
        model: The model to change in place.

    >>> model = nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.25))
    >>> replace_dropout(model)
    >>> model[1].p
    tensor(0.2500)
    """
    if not any(type(module) in {nn.Dropout, Dropout} for module in list(model.modules())[1:]):
        raise StateError(
            f"replace_dropout needs a model with torch.nn.Dropout in it, but this "
            f"{type(model).__name__} has none; a layer by itself is ramet.torch.Dropout(p)"
        )
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Dropout:
                setattr(parent, name, _replace(child))


def _replace(module: nn.Dropout) -> Dropout:
    return Dropout(module.p, module.inplace).train(module.training)


def is_compiled(model: nn.Module) -> bool:
    """Say whether any part of a model was compiled, wrapped or in place."""
    return any(
        COMPILED in vars(module)["_modules"] or vars(module).get("_compiled_call_impl") is not None
        for module in model.modules()
    )


class Recompilations(logging.Filter):
    """Notes which functions run uncompiled because they were compiled too often."""

    def __init__(self) -> None:
        super().__init__()
        self._met: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, and note those about the limit."""
        if MET_THE_LIMIT in str(record.msg):
            limit, function, *_ = [*record.getMessage().splitlines(), ""]
            self._met.append(f"{function.strip().removeprefix('function: ')} ({limit.strip()})")
        return True

    def count(self) -> int:
        """Return how many functions have reached the limit in this process."""
        return len(self._met)

    def warn(self, known: int, constants: Collection[str]) -> None:
        """Warn of functions beyond the known ones that reached the limit, with a likely cause."""
        for function in self._met[known:]:
            warn_once(
                f"a compiled function must not be compiled again for each new value, but one "
                f"reached PyTorch's limit and runs uncompiled from now on: {function}. "
                f"{_remedy(constants)}",
            )


def _remedy(constants: Collection[str]) -> str:
    if not constants:
        return 'TORCH_LOGS="recompiles" says why; torch._dynamo.config.recompile_limit is the limit'
    return (
        f"The hyperparameters {list(constants)} are bound to numbers in modules, which are "
        f"constants to torch.compile; keep them in tensors, as ramet.torch.replace_dropout(model) "
        f"does for dropout, or raise torch._dynamo.config.recompile_limit"
    )


RECOMPILATIONS = Recompilations()
logging.getLogger(LOGGER).addFilter(RECOMPILATIONS)
