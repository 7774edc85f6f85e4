"""Engines: the only code that loops and waits. Each asks a ``Run`` for turns and tells it back."""

from ramet.engine.launch import open_run as open  # noqa: A004 - ramet.open(...) is what users read
from ramet.engine.launch import run
from ramet.engine.replaying import replay
from ramet.engine.run import Run
from ramet.engine.turn import Turn
from ramet.engine.worker import Task, Trainee

__all__ = ["Run", "Task", "Trainee", "Turn", "open", "replay", "run"]
