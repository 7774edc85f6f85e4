"""Schedules: which hyperparameters are used at which step, as values to keep and to hand on."""

from ramet.schedule.pieces import Leg, Piece, Source, piece_at
from ramet.schedule.schedule import Schedule, Smoothed

__all__ = ["Leg", "Piece", "Schedule", "Smoothed", "Source", "piece_at"]
