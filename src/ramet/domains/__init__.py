"""Domains: what one hyperparameter may be, and how it moves without ever leaving that."""

from ramet.domains.base import Domain, Explore, Value, exact, plain
from ramet.domains.numbers import LARGEST_INTEGER, Integer, LogUniform, Uniform
from ramet.domains.options import Choice, Constant

__all__ = [
    "LARGEST_INTEGER",
    "Choice",
    "Constant",
    "Domain",
    "Explore",
    "Integer",
    "LogUniform",
    "Uniform",
    "Value",
    "exact",
    "plain",
]
