"""Warnings about parts of a training that ramet does not control."""

import warnings

from ramet.errors import StateWarning
from ramet.frames import level_of_users

# The messages of this run in this process. Python's own record would not do: a loop is called for
# each member, and PyTorch resets the record.
SAID: set[str] = set()


def warn_once(message: str) -> None:
    """Warn at the line of the user's code, unless the message was shown before in this run."""
    if message not in SAID:
        SAID.add(message)
        warnings.warn(message, StateWarning, stacklevel=level_of_users())


def forget() -> None:
    """Forget all messages, because another run begins."""
    SAID.clear()
