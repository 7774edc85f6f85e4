"""Modules as parts of a state. They are restored in place: their parameters stay the same."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.nn.parallel import DataParallel, DistributedDataParallel

from ramet.state import Tree
from ramet.torch.differences import names_differ, numbers_differ
from ramet.torch.tensors import Arrays, borrow, clone, rebuild

# The name that torch.compile gives to the module inside its wrapper.
COMPILED = "_orig_mod"


class ModulePart:
    """A module's parameters, buffers and extra state, by the names that they have unwrapped."""

    kind = "Module"

    def __init__(self, module: torch.nn.Module, label: str) -> None:
        self.module, self._label = unwrap(module), label

    @property
    def may_refuse(self) -> bool:
        own = self._own()
        return any(id(value) not in own for value in self._entries().values())

    def names(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield every parameter under its first name."""
        return ((plain(name), param) for name, param in self.module.named_parameters())

    def capture(self, arrays: Arrays) -> Tree:
        return {
            plain(name): arrays.of(value, f"{self._label}.state_dict()[{name!r}]")
            for name, value in self._entries().items()
        }

    def differences(self, saved: Tree) -> Iterator[str]:
        own = self._own()
        entries = {plain(name): value for name, value in self._entries().items()}
        yield from names_differ(self._label, saved, entries)
        firsts: dict[int, str] = {}
        for name in [name for name in entries if name in saved and id(entries[name]) in own]:
            what = f"{self._label}'s {name!r}"
            yield from numbers_differ(what, saved[name], entries[name])
            first = firsts.setdefault(id(entries[name]), name)
            if saved[first] is not saved[name]:
                yield f"{what} and {first!r} were two and are tied here"

    def restore(self, saved: Tree) -> None:
        own, entries = self._own(), self._entries()
        loaded: Any = OrderedDict(
            # Copied into a tensor that exists, so it needs no memory of its own.
            (name, borrow(value) if id(live) in own else rebuild(value, live, clone))
            for name, live in entries.items()
            for value in [saved[plain(name)]]
        )
        # The versions of these modules; without them some treat it as an old file.
        loaded._metadata = getattr(entries, "_metadata", None)  # noqa: SLF001 - where PyTorch looks
        self.module.load_state_dict(loaded)

    def _entries(self) -> Mapping[str, Any]:
        return self.module.state_dict(keep_vars=True)

    def _own(self) -> set[int]:
        """Return the identities of the tensors that are the module's own."""
        return {id(tensor) for tensor in (*self.module.parameters(), *self.module.buffers())}


def unwrap(module: torch.nn.Module) -> torch.nn.Module:
    """Return the module inside wrappers of torch.compile and data parallelism."""
    while True:
        if isinstance(module, DataParallel | DistributedDataParallel):
            module = module.module
        elif COMPILED in module._modules:  # noqa: SLF001 - its class is slow to import
            module = module.get_submodule(COMPILED)
        else:
            return module


def plain(name: str) -> str:
    """Return the name of a parameter in a model that is not compiled.

    >>> plain("encoder._orig_mod.weight")
    'encoder.weight'
    """
    return ".".join(part for part in name.split(".") if part != COMPILED)
