"""Strategies: pure values that decide; one algorithm a file."""

from typing import Any

from ramet.description import rebuild
from ramet.domains import Explore
from ramet.events import Birth
from ramet.schedule import Leg, Piece
from ramet.strategies.base import Action, Annotate, Change, Copy, Rest, Strategy
from ramet.strategies.exploit import BinaryTournament, Exploit, Truncation, TTest
from ramet.strategies.explore import Perturb, Resample
from ramet.strategies.fire import FIRE
from ramet.strategies.fire_round import Evaluation, Rating
from ramet.strategies.grid import Grid, product
from ramet.strategies.hand_tuned import Cosine, Drops, HandTuned, Shape
from ramet.strategies.pbt import PBT
from ramet.strategies.random_search import RandomSearch
from ramet.strategies.replay import Replay

# What a strategy may be made of so that its description says it all.
KINDS = {
    kind.__name__: kind
    for kind in (
        *(PBT, FIRE, RandomSearch, Grid, HandTuned, Replay),
        *(Truncation, BinaryTournament, TTest),
        *(Perturb, Resample, Drops, Cosine, Piece, Leg),
    )
}


def from_description(data: dict[str, Any]) -> Strategy:
    """Rebuild a strategy that a log describes, or raise SpaceError if some of it is code."""
    strategy: Strategy = rebuild(data, KINDS)
    return strategy


__all__ = [
    "FIRE",
    "PBT",
    "Action",
    "Annotate",
    "BinaryTournament",
    "Birth",
    "Change",
    "Copy",
    "Cosine",
    "Drops",
    "Evaluation",
    "Exploit",
    "Explore",
    "Grid",
    "HandTuned",
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
