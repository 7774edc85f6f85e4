"""Warnings of what ramet sees in a training and does not control."""

import warnings

from ramet.errors import StateWarning

# What was said in this process. A loop is called for each member, and PyTorch has Python forget.
SAID: set[str] = set()


def warn_once(message: str, *, stacklevel: int) -> None:
    """Warn, unless the same was said before; ``stacklevel`` counts from the caller."""
    if message not in SAID:
        SAID.add(message)
        warnings.warn(message, StateWarning, stacklevel=stacklevel + 1)
