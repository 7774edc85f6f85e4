"""Warnings of what ramet sees in a training and does not control."""

import warnings

from ramet.errors import StateWarning
from ramet.frames import level_of_users

# The messages of this run in this process. A loop is called for each member, and PyTorch resets
# what Python itself remembers.
SAID: set[str] = set()


def warn_once(message: str) -> None:
    """Warn at the line of the user's code, unless the same was said before in this run."""
    if message not in SAID:
        SAID.add(message)
        warnings.warn(message, StateWarning, stacklevel=level_of_users())


def forget() -> None:
    """Have everything said again, because another run begins."""
    SAID.clear()
