"""History: what a run's log tells. Reads stores, imports no engine."""

from ramet.history.fire import evaluations
from ramet.history.result import Result, Winner
from ramet.history.schedule import Piece, Schedule

__all__ = ["Piece", "Result", "Schedule", "Winner", "evaluations"]
