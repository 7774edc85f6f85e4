"""Points of a turn, and of changing a run, at which tests can kill the process."""

import os
import signal

# In the order in which a turn passes them.
POINTS = (
    "claimed",  # the member is leased, and nothing is loaded
    "loaded",  # its state is restored
    "trained",  # its last step is done, and nothing is written
    "blob-written",  # its checkpoint is written under a temporary name
    "blob-kept",  # its checkpoint is in its place, and no event names it
    "committing",  # its events are written, and not committed
    "committed",  # its turn is over
    "pruning",  # some of the checkpoints that are no longer needed are deleted
)

# Points of confirming a run, for each fresh evaluation.
CONFIRMING_POINTS = (
    "evaluated",  # the score is there, and no event has it
    "recorded",  # its event is written
)

# Points of deleting and of renaming a run.
REMOVING_POINTS = (
    "copied",  # its checkpoints are there under the new name as well
    "renamed",  # it has its new name, and its checkpoints are still there under the old one
    "emptied",  # its log has nothing left but its beginning
    "deleting",  # some of its checkpoints are deleted
    "cleared",  # all of them are deleted
)

# "point", or "point:3" for the third time that it is reached.
VARIABLE = "RAMET_CRASH_AT"

_left: dict[str, int] = {}


def reach(point: str) -> None:
    """Kill this process, as `kill -9` does, if a test armed this point."""
    if point in _left:
        _left[point] -= 1
        if _left[point] == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def arm(setting: str) -> None:
    """Let the process be killed at a point, as the variable RAMET_CRASH_AT does.

    >>> arm("nowhere")
    Traceback (most recent call last):
        ...
    ValueError: RAMET_CRASH_AT must be one of claimed, loaded, trained, blob-written, blob-kept, \
committing, committed, pruning, evaluated, recorded, copied, renamed, emptied, deleting, cleared, \
with or without a count as in 'claimed:3', \
but got 'nowhere'
    """
    point, _, count = setting.partition(":")
    points = POINTS + CONFIRMING_POINTS + REMOVING_POINTS
    if point not in points or not (count or "1").isdecimal():
        raise ValueError(
            f"{VARIABLE} must be one of {', '.join(points)}, with or without a count as in "
            f"'claimed:3', but got {setting!r}"
        )
    _left[point] = int(count or 1)


if _setting := os.environ.get(VARIABLE):
    arm(_setting)
