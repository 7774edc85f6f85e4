"""Schedules: the hyperparameters of each step, as values to keep and to share."""

from ramet.schedule.pieces import Leg, Piece, Source, piece_at
from ramet.schedule.schedule import Schedule, Smoothed

__all__ = ["Leg", "Piece", "Schedule", "Smoothed", "Source", "piece_at"]
