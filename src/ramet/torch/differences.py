"""Sentences about a saved state that does not fit the objects to restore it into."""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ramet.errors import StateError
from ramet.torch.tensors import borrow, fits

# How many differences or names an error shows.
SHOWN_AT_MOST = 6


def refuse(differences: list[str]) -> None:
    """Raise if there is anything that does not fit."""
    if differences:
        more = (
            f"; and {len(differences) - SHOWN_AT_MOST} more"
            if len(differences) > SHOWN_AT_MOST
            else ""
        )
        shown = "; ".join(differences[:SHOWN_AT_MOST])
        raise StateError(
            f"what is restored must fit what is there, but {shown}{more}. Nothing was "
            f"restored; build the same objects for every member, and start another run for others"
        )


def names_differ(what: str, saved: Collection[str], live: Collection[str]) -> Iterator[str]:
    """Yield a sentence for names that only one of the two has."""
    if gone := [name for name in saved if name not in live]:
        yield f"{what} lacks {list_names(gone)}"
    if new := [name for name in live if name not in saved]:
        yield f"{what} has {list_names(new)}, which were not saved"


def numbers_differ(what: str, saved: NDArray[Any], live: torch.Tensor) -> Iterator[str]:
    """Yield a sentence if saved numbers cannot be written into a tensor."""
    if torch.nn.parameter.is_lazy(live):
        yield f"{what} has no shape yet: call the model once before"
    elif not fits(live, saved):
        yield f"{what} was of shape {np.shape(saved)} and is of {tuple(live.shape)} here"
    elif not torch.can_cast(was := borrow(saved).dtype, live.dtype):
        yield f"{what} was of {was} and is of {live.dtype} here"


def list_names(names: list[str]) -> str:
    """Return names as text, shortened if there are many.

    >>> list_names(list("abcdefgh"))
    "['a', 'b', 'c', 'd', 'e', 'f'] and 2 more"
    """
    more = f" and {len(names) - SHOWN_AT_MOST} more" if len(names) > SHOWN_AT_MOST else ""
    return f"{names[:SHOWN_AT_MOST]}{more}"
