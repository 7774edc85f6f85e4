"""Strategies: pure values that decide how a population goes on."""

from typing import Any

from ramet.description import rebuild
from ramet.domains import Explore
from ramet.events import Birth
from ramet.goals import Goal
from ramet.schedule import Leg, Piece
from ramet.strategies.base import Action, Annotate, Change, Copy, Rest, Strategy
from ramet.strategies.controlled import Controlled
from ramet.strategies.exploit import BinaryTournament, Exploit, Truncation, TTest
from ramet.strategies.explore import Explorer, ExploreTogether, Perturb, Resample
from ramet.strategies.fire import FIRE
from ramet.strategies.fire_notes import Evaluation, Rating
from ramet.strategies.gap import Gap
from ramet.strategies.gaussian_process import GaussianProcess
from ramet.strategies.grid import Grid, product
from ramet.strategies.hand_tuned import Cosine, Drops, HandTuned, Shape
from ramet.strategies.ipbt import IPBT
from ramet.strategies.mfpbt import MFPBT
from ramet.strategies.pareto import Pareto
from ramet.strategies.pbt import PBT
from ramet.strategies.random_search import RandomSearch
from ramet.strategies.replay import Replay

# The kinds of values that a strategy can be rebuilt from.
KINDS = {
    kind.__name__: kind
    for kind in (
        *(PBT, FIRE, MFPBT, IPBT, RandomSearch, Grid, HandTuned, Replay, Controlled),
        *(Truncation, BinaryTournament, TTest, Gap, Pareto),
        *(Perturb, Resample, GaussianProcess, Drops, Cosine, Piece, Leg),
    )
}


def from_description(data: dict[str, Any]) -> Strategy:
    """Rebuild a strategy from its description in a log, or raise SpaceError if it has code.

    Args:
        data: What ``ramet.description.describe`` returned for it.
    """
    strategy: Strategy = rebuild(data, KINDS)
    return strategy


__all__ = [
    "FIRE",
    "IPBT",
    "MFPBT",
    "PBT",
    "Action",
    "Annotate",
    "BinaryTournament",
    "Birth",
    "Change",
    "Controlled",
    "Copy",
    "Cosine",
    "Drops",
    "Evaluation",
    "Exploit",
    "Explore",
    "ExploreTogether",
    "Explorer",
    "Gap",
    "GaussianProcess",
    "Goal",
    "Grid",
    "HandTuned",
    "Pareto",
    "Perturb",
    "RandomSearch",
    "Rating",
    "Replay",
    "Resample",
    "Rest",
    "Shape",
    "Strategy",
    "TTest",
    "Truncation",
    "from_description",
    "product",
]
