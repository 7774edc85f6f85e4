"""Population based training on any training loop."""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from ramet import errors as errors
from ramet import history as history
from ramet.averaging import ExponentialAverage, PolynomialAverage
from ramet.domains import Choice, Constant, Integer, LogUniform, Uniform
from ramet.domains.answers import OTHER_NAMES
from ramet.engine.confirming import confirm
from ramet.engine.engines import Engine, Inline, Processes, Vectorized
from ramet.engine.interrupting import interrupted
from ramet.engine.joining import join

# Exported so, and not in __all__, where a star import would hide the builtin.
from ramet.engine.launch import open as open  # noqa: A004 - ramet.open(...) is what users read
from ramet.engine.launch import run
from ramet.engine.replaying import replay
from ramet.engine.run.failures import Failures
from ramet.engine.run.run import Run
from ramet.engine.run.turn import Turn
from ramet.engine.workers.loop import Task
from ramet.engine.workers.session import Session
from ramet.errors import RametError
from ramet.history import Replayed, Result
from ramet.places import Storage
from ramet.points import Curve
from ramet.population import Member, Population
from ramet.ray import Ray
from ramet.schedule import Schedule
from ramet.space import Space
from ramet.space.arrays import Array
from ramet.space.conditions import When
from ramet.space.limits import AtMost, ProductAtMost, SumAtMost
from ramet.state import Bound, State
from ramet.strategies import (
    FIRE,
    IPBT,
    MFPBT,
    PBT,
    BinaryTournament,
    Controlled,
    Cosine,
    Drops,
    Gap,
    GaussianProcess,
    Grid,
    HandTuned,
    Pareto,
    Perturb,
    RandomSearch,
    Resample,
    Strategy,
    Truncation,
    TTest,
)

if TYPE_CHECKING:
    from ramet import plots as plots
    from ramet import report as report
else:  # A type checker finds a wrong name by itself, unless it sees this.

    def __getattr__(name: str) -> Any:
        """Import the parts that take long to import, or need an extra, when they are first used."""
        if name in {"plots", "report"}:
            return importlib.import_module(f"ramet.{name}")
        ours = f"; its name here is ramet.{OTHER_NAMES[name]}" if name in OTHER_NAMES else ""
        raise AttributeError(
            f"module 'ramet' has no attribute {name!r}{ours}", name=name, obj=sys.modules[__name__]
        )


__all__ = [
    "FIRE",
    "IPBT",
    "MFPBT",
    "PBT",
    "Array",
    "AtMost",
    "BinaryTournament",
    "Bound",
    "Choice",
    "Constant",
    "Controlled",
    "Cosine",
    "Curve",
    "Drops",
    "Engine",
    "ExponentialAverage",
    "Failures",
    "Gap",
    "GaussianProcess",
    "Grid",
    "HandTuned",
    "Inline",
    "Integer",
    "LogUniform",
    "Member",
    "Pareto",
    "Perturb",
    "PolynomialAverage",
    "Population",
    "Processes",
    "ProductAtMost",
    "RametError",
    "RandomSearch",
    "Ray",
    "Replayed",
    "Resample",
    "Result",
    "Run",
    "Schedule",
    "Session",
    "Space",
    "State",
    "Storage",
    "Strategy",
    "SumAtMost",
    "TTest",
    "Task",
    "Truncation",
    "Turn",
    "Uniform",
    "Vectorized",
    "When",
    "confirm",
    "interrupted",
    "join",
    "replay",
    "run",
]
