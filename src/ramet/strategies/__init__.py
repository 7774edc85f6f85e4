"""Strategies: pure values that decide; one algorithm a file."""

from ramet.domains import Explore
from ramet.events import Birth
from ramet.strategies.base import Action, Annotate, Change, Copy, Strategy
from ramet.strategies.exploit import BinaryTournament, Exploit, Truncation, TTest
from ramet.strategies.explore import Perturb, Resample
from ramet.strategies.grid import Grid, product
from ramet.strategies.hand_tuned import Cosine, Drops, HandTuned, Shape
from ramet.strategies.pbt import PBT
from ramet.strategies.random_search import RandomSearch

__all__ = [
    "PBT",
    "Action",
    "Annotate",
    "BinaryTournament",
    "Birth",
    "Change",
    "Copy",
    "Cosine",
    "Drops",
    "Exploit",
    "Explore",
    "Grid",
    "HandTuned",
    "Perturb",
    "RandomSearch",
    "Resample",
    "Shape",
    "Strategy",
    "TTest",
    "Truncation",
    "product",
]
