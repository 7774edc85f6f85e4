"""Every exception that ramet raises.

::

    RametError
    ├── UsageError                   what was written cannot work; the run stops at once
    │   ├── SpaceError               a domain, a space or a starting point that makes no sense
    │   ├── StrategyError            settings of a strategy or a run that cannot work together
    │   ├── StateError               a state that cannot be captured or put back
    │   ├── ScoreError               a score that is not a number, or not one of this turn
    │   ├── MissingScore             a turn that ended without a score
    │   ├── TurnInterrupted          a loop that left its turn before the last step
    │   ├── TurnMisused              a turn told twice, or asked for when none can be had
    │   ├── UnknownHyperparameter    a name that the space does not have
    │   ├── HyperparameterUnread     a value that the loop never used (only with ``strict=True``)
    │   ├── HyperparameterOverwritten  a value that was applied and did not stay
    │   └── RunMismatch              a run reopened with other settings than it was begun with
    ├── NoBest                       no turn has ended with a finite score
    ├── RunFailed                    too many members fail; the traceback of one is in the message
    └── StoreError                   the record of a run cannot be read or written
        ├── RunNotFound              no run of that name in the store
        ├── LeaseLost                somebody else took the member over; nothing was written
        ├── LogMoved                 others committed first; nothing was written, decide again
        ├── CorruptLog               what should be events is not
        ├── UnknownSchema            an event written by another version of ramet
        └── CheckpointMissing        no checkpoint of that name
"""

__all__ = [
    "CheckpointMissing",
    "CorruptLog",
    "HyperparameterOverwritten",
    "HyperparameterUnread",
    "LeaseLost",
    "LogMoved",
    "MissingScore",
    "NoBest",
    "RametError",
    "RunFailed",
    "RunMismatch",
    "RunNotFound",
    "ScoreError",
    "SpaceError",
    "StateError",
    "StoreError",
    "StrategyError",
    "TurnInterrupted",
    "TurnMisused",
    "UnknownHyperparameter",
    "UnknownSchema",
    "UsageError",
]


class RametError(Exception):
    """The root of the tree."""


class UsageError(RametError):
    """What was written cannot work; retrying would not help."""


class SpaceError(UsageError, ValueError):
    """A domain, a space or a starting point makes no sense."""


class StrategyError(UsageError, ValueError):
    """Settings of a strategy or a run cannot work together."""


class StateError(UsageError, TypeError):
    """A state cannot be captured or put back."""


class ScoreError(UsageError, ValueError):
    """A score is not a number, or not one of this turn."""


class MissingScore(UsageError):
    """A turn ended without a score."""


class TurnInterrupted(UsageError):
    """A loop left its turn before the last step."""


class TurnMisused(UsageError):
    """A turn was told twice, or asked for when none can be had."""


class UnknownHyperparameter(UsageError, KeyError):
    """The space has no hyperparameter of that name."""

    def __str__(self) -> str:
        # KeyError shows the repr of its argument, which would quote the whole sentence.
        return str(self.args[0])


class HyperparameterUnread(UsageError):
    """A loop never used a hyperparameter in a whole turn."""


class HyperparameterOverwritten(UsageError):
    """A hyperparameter was applied and something put another value in its place."""


class RunMismatch(UsageError):
    """An existing run was opened with other settings than it was begun with."""


class NoBest(RametError):
    """No turn has ended with a finite score."""


class RunFailed(RametError):
    """Too many members fail for the run to go on."""


class StoreError(RametError):
    """The record of a run cannot be read or written."""


class RunNotFound(StoreError):
    """The store has no run of that name."""


class LeaseLost(StoreError):
    """The lease ran out and somebody else took the member over."""


class LogMoved(StoreError):
    """Others committed since the events that this commit was decided on."""


class CorruptLog(StoreError):
    """What should be a log of events is not one."""


class UnknownSchema(StoreError):
    """An event was written by a version of ramet that this one cannot read."""


class CheckpointMissing(StoreError):
    """The checkpoint that was asked for is not there."""
