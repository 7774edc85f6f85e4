"""Every exception that ramet raises.

::

    RametError
    ├── UsageError                   ramet is used in a way that cannot work; the run stops at once
    │   ├── SpaceError               a domain, a space or a starting point that makes no sense
    │   ├── StrategyError            a wrong setting, or settings that cannot work together
    │   ├── ScheduleError            a schedule that makes no sense, in a file or anywhere
    │   ├── StateError               a state that cannot be captured or restored
    │   ├── ScoreError               a score that is not a number, or not one of this turn
    │   ├── MissingScore             a turn that ended without a score
    │   ├── MetricError              a metric that is no number, has a bad name, or is one too many
    │   ├── TurnInterrupted          a loop that left its turn before the last step
    │   ├── TurnMisused              a turn that was ended twice, is not trained, or does not exist
    │   ├── UnknownAttribute         a name that an object of ramet's does not have
    │   ├── UnknownHyperparameter    a name that the space does not have
    │   ├── HyperparameterUnread     a value that the loop never used (only with ``strict=True``)
    │   ├── HyperparameterOverwritten  a value that was applied and did not stay
    │   ├── NotPortable              something that cannot be sent to another process
    │   └── RunMismatch              a run reopened with other settings than it was begun with
    ├── NoBest                       no turn has ended with a finite score
    ├── RunFailed                    too many members fail; ``traceback`` is that of the last one
    └── StoreError                   the record of a run cannot be read or written
        ├── RunNotFound              no run of that name in the store
        ├── RunInUse                 workers train a run that should be replaced, deleted or renamed
        ├── NameTaken                another run in the store has the name that a run should get
        ├── LeaseLost                another worker took the member over; nothing was written
        ├── LogMoved                 others committed first; nothing was written, decide again
        ├── EventTooLarge            an event too large for the log; nothing was written
        ├── CorruptLog               the events of a run are invalid or damaged
        ├── CorruptStore             the file is damaged
        ├── NotAStore                a file that is something else, or no file
        ├── StoreBusy                other processes kept it locked for too long
        │   └── StoreUnreachable     a server that does not answer, or refuses this process
        ├── StoreFull                no room left to write; nothing was written
        ├── StoreReadOnly            a file or folder without permission to write
        ├── StoreUnsupported         this machine or file system cannot keep such a store
        ├── UnknownSchema            an event or a store written by another version of ramet
        ├── CheckpointDamaged        the bytes of a checkpoint are not what was written
        └── CheckpointMissing        no checkpoint of that name

There are two warnings: StrategyWarning, for settings that a run accepts but that cannot have the
intended effect, and StateWarning, for parts of a training that ramet does not control.
"""

from ramet.visible import message

__all__ = [
    "CheckpointDamaged",
    "CheckpointMissing",
    "CorruptLog",
    "CorruptStore",
    "EventTooLarge",
    "HyperparameterOverwritten",
    "HyperparameterUnread",
    "LeaseLost",
    "LogMoved",
    "MetricError",
    "MissingScore",
    "NameTaken",
    "NoBest",
    "NotAStore",
    "NotPortable",
    "RametError",
    "RunFailed",
    "RunInUse",
    "RunMismatch",
    "RunNotFound",
    "ScheduleError",
    "ScoreError",
    "SpaceError",
    "StateError",
    "StateWarning",
    "StoreBusy",
    "StoreError",
    "StoreFull",
    "StoreReadOnly",
    "StoreUnreachable",
    "StoreUnsupported",
    "StrategyError",
    "StrategyWarning",
    "TurnInterrupted",
    "TurnMisused",
    "UnknownAttribute",
    "UnknownHyperparameter",
    "UnknownSchema",
    "UsageError",
]


class RametError(Exception):
    """The root of the tree.

    Its text is safe to print, whatever it quotes: control characters are escaped (`visible.py`).
    """

    def __str__(self) -> str:
        return message(super().__str__())


class UsageError(RametError):
    """Something is used in a way that cannot work; retrying would not help."""


class SpaceError(UsageError, ValueError):
    """A domain, a space or a starting point makes no sense."""


class StrategyError(UsageError, ValueError):
    """A setting of a strategy, engine or run is wrong, or settings cannot work together."""


class ScheduleError(UsageError, ValueError):
    """A schedule makes no sense."""


class StateError(UsageError, TypeError):
    """A state cannot be captured or restored."""


class ScoreError(UsageError, ValueError):
    """A score is not a number, or not one of this turn."""


class MissingScore(UsageError):
    """A turn ended without a score."""


class MetricError(UsageError, ValueError):
    """A metric is not a number, has no proper name, or is one too many."""


class TurnInterrupted(UsageError):
    """A loop left its turn before the last step."""


class TurnMisused(UsageError):
    """A turn was ended twice, not trained, or asked for when there is none."""


class UnknownAttribute(UsageError, AttributeError):
    """An object of ramet has no attribute of that name."""


class UnknownHyperparameter(UsageError, KeyError):
    """The space has no hyperparameter of that name."""

    def __str__(self) -> str:
        # KeyError shows the repr of its argument, which would quote the whole sentence.
        return message(str(self.args[0]))


class HyperparameterUnread(UsageError):
    """A loop never used a hyperparameter in a whole turn."""


class HyperparameterOverwritten(UsageError):
    """A hyperparameter was applied and something put another value in its place."""


class NotPortable(UsageError):
    """A training function or one of its values cannot be sent to worker processes."""


class RunMismatch(UsageError):
    """An existing run was opened with other settings than it was begun with."""


class NoBest(RametError):
    """No turn has ended with a finite score within the bounds, or no member has such weights."""


class RunFailed(RametError):
    """Too many members fail for the run to go on.

    Args:
        message: Which rule the run broke, and what to do.
        traceback: The traceback of the last failure in the user's code, as text.
    """

    def __init__(self, message: str, *, traceback: str = "") -> None:
        super().__init__(message)
        #: The traceback of the last failure in the user's code; "" if none is known.
        self.traceback = traceback


class StoreError(RametError):
    """The record of a run cannot be read or written."""


class RunNotFound(StoreError):
    """The store has no run of that name."""


class RunInUse(StoreError):
    """Other workers train members of a run that was to be overwritten, deleted or renamed."""


class NameTaken(StoreError):
    """Another run in the store has the name that a run should get."""


class LeaseLost(StoreError):
    """The lease ran out and another worker took the member over."""


class LogMoved(StoreError):
    """Another process wrote events after those that this commit is based on."""


class EventTooLarge(StoreError):
    """An event is too large, or nested too deeply, for the log: nothing was written."""


class CorruptLog(StoreError):
    """The log of a run is not valid, or is damaged."""


class CorruptStore(StoreError):
    """The file of a store is damaged."""


class NotAStore(StoreError):
    """The file is not a store."""


class StoreBusy(StoreError):
    """Other processes kept the store locked for longer than this one waits."""


class StoreUnreachable(StoreBusy):
    """The server of a store does not answer, or does not let this process in."""


class StoreFull(StoreError):
    """There is no room left to write: nothing was written; free space and run again."""


class StoreReadOnly(StoreError):
    """The file of a store, or its folder, may not be written."""


class StoreUnsupported(StoreError):
    """This machine or this file system cannot keep such a store."""


class UnknownSchema(StoreError):
    """An event or a store was written by a version of ramet that this one cannot read."""


class CheckpointDamaged(StoreError):
    """The bytes of a checkpoint are not what was written."""


class CheckpointMissing(StoreError):
    """The checkpoint that was asked for is not there."""


class StrategyWarning(UserWarning):
    """A run accepts a strategy's settings, but they cannot have the intended effect."""


class StateWarning(UserWarning):
    """Something in a training is neither set by a hyperparameter nor kept in checkpoints."""
