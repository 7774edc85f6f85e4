"""Population based training on any training loop."""

from ramet.domains import Choice, Constant, Integer, LogUniform, Uniform
from ramet.engine import Run, Task, Trainee, Turn, replay, run

# Exported so, and not in __all__, where a star import would hide the builtin.
from ramet.engine import open as open  # noqa: A004 - ramet.open(...) is what users read
from ramet.errors import RametError
from ramet.history import Replayed, Result
from ramet.population import Curve, Member, Population
from ramet.schedule import Schedule
from ramet.space import Space
from ramet.state import Bound, State
from ramet.strategies import (
    FIRE,
    PBT,
    BinaryTournament,
    Cosine,
    Drops,
    Grid,
    HandTuned,
    Perturb,
    RandomSearch,
    Resample,
    Strategy,
    Truncation,
    TTest,
)

__all__ = [
    "FIRE",
    "PBT",
    "BinaryTournament",
    "Bound",
    "Choice",
    "Constant",
    "Cosine",
    "Curve",
    "Drops",
    "Grid",
    "HandTuned",
    "Integer",
    "LogUniform",
    "Member",
    "Perturb",
    "Population",
    "RametError",
    "RandomSearch",
    "Replayed",
    "Resample",
    "Result",
    "Run",
    "Schedule",
    "Space",
    "State",
    "Strategy",
    "TTest",
    "Task",
    "Trainee",
    "Truncation",
    "Turn",
    "Uniform",
    "replay",
    "run",
]
