"""History: what a run's log tells. Reads stores, imports no engine."""

from ramet.history.fire import evaluations
from ramet.history.lineage import Copy, Effect, Lineage, Trained
from ramet.history.replayed import Replayed
from ramet.history.result import Result, Winner
from ramet.history.result import open_result as open  # noqa: A004 - history.open(...) reads well

__all__ = [
    "Copy",
    "Effect",
    "Lineage",
    "Replayed",
    "Result",
    "Trained",
    "Winner",
    "evaluations",
    "open",
]
