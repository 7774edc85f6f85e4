"""History: what a run's log tells. Reads stores, imports no engine."""

from ramet.history.copying import Backup, backup
from ramet.history.fire import evaluations
from ramet.history.lineage import Copy, Effect, Lineage
from ramet.history.replayed import Replayed
from ramet.history.result import Result, load_result
from ramet.history.snapshot import Snapshot
from ramet.history.turns import Trained

__all__ = [
    "Backup",
    "Copy",
    "Effect",
    "Lineage",
    "Replayed",
    "Result",
    "Snapshot",
    "Trained",
    "backup",
    "evaluations",
]

# Not in __all__, where a star import would hide the builtin.
open = load_result  # noqa: A001 - history.load(...) is what users read
