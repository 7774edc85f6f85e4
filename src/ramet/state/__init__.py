"""State trees, and what turns a training loop's objects into them and back."""

from ramet.state.adapters import (
    Bindable,
    Bound,
    Held,
    State,
    Variables,
    adapt,
)
from ramet.state.checking import check_applied, check_stayed
from ramet.state.codec import decode, encode
from ramet.state.stacks import Stack
from ramet.state.tree import Tree, freeze, thaw

__all__ = [
    "Bindable",
    "Bound",
    "Held",
    "Stack",
    "State",
    "Tree",
    "Variables",
    "adapt",
    "check_applied",
    "check_stayed",
    "decode",
    "encode",
    "freeze",
    "thaw",
]
