"""Read what a run has recorded: its result, lineage, schedule and tables."""

from ramet.history.confirming import FreshScores
from ramet.history.copying import Backup, backup
from ramet.history.doubts import Doubt, find_doubts
from ramet.history.fire import evaluations
from ramet.history.lineage import Lineage
from ramet.history.loading import load
from ramet.history.records import CopyRecord, Effect
from ramet.history.replayed import Replayed
from ramet.history.result import Result
from ramet.history.snapshot import Snapshot
from ramet.history.turns import Trained
from ramet.history.verdict import Verdict

__all__ = [
    "Backup",
    "CopyRecord",
    "Doubt",
    "Effect",
    "FreshScores",
    "Lineage",
    "Replayed",
    "Result",
    "Snapshot",
    "Trained",
    "Verdict",
    "backup",
    "evaluations",
    "find_doubts",
    "load",
]
