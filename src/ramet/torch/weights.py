"""The weights in parts of a state that can be averaged, each where its module keeps it."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch

from ramet.errors import StateError
from ramet.torch.modules import ModulePart, plain
from ramet.torch.parts import Part, TensorPart

# Narrower numbers are averaged as these, because late updates are too small for them.
WIDE = torch.float32


class Place(NamedTuple):
    """Where a module keeps a tensor, which it may replace by another one."""

    # All names, of which tied weights have several.
    names: tuple[str, ...]
    holder: dict[str, Any]
    key: str

    def read(self) -> torch.Tensor:
        """Return the tensor that is there now."""
        tensor: torch.Tensor = self.holder[self.key]
        return tensor


def find(parts: Mapping[str, Part]) -> list[Place]:
    """Return the places of all parameters and persistent buffers, tied ones once."""
    found: dict[int, Place] = {}
    for label, part in parts.items():
        for name, holder, key in _entries(part):
            place = found.get(id(holder[key]))
            names = (*(place.names if place else ()), f"{label}.{name}" if name else label)
            found[id(holder[key])] = Place(names, *(place[1:] if place else (holder, key)))
    return list(found.values())


def is_weight(tensor: torch.Tensor) -> bool:
    """Say whether a tensor has numbers that can be averaged."""
    return tensor.is_floating_point() or tensor.is_complex()


def widen(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor in a dtype for averages; itself if it has one."""
    is_narrow = tensor.is_floating_point() and tensor.dtype.itemsize < WIDE.itemsize
    return tensor.to(WIDE) if is_narrow else tensor


def refuse_lazy(places: list[Place]) -> None:
    """Refuse weights that have no shape yet."""
    lazy = [place.names[0] for place in places if torch.nn.parameter.is_lazy(place.read())]
    if lazy:
        raise StateError(
            f"weights must have a shape before they can be averaged, but {lazy} have none yet; "
            f"call the model once before the state is made"
        )


def _entries(part: Part) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield name, holder and key of each tensor that follows a member by name."""
    if isinstance(part, TensorPart) and part.tensor.requires_grad:
        yield "", {"": part.tensor}, ""
    if not isinstance(part, ModulePart):
        return
    for path, module in part.module.named_modules(remove_duplicate=False):
        fleeting = module._non_persistent_buffers_set  # noqa: SLF001 - there is no other way to know
        for holder in (module._parameters, module._buffers):  # noqa: SLF001 - named_buffers() would lose where each is
            for key, tensor in holder.items():
                if tensor is not None and key not in fleeting:
                    yield plain(f"{path}.{key}" if path else key), holder, key
