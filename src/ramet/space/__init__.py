"""Spaces: the hyperparameters of a run by name, and what holds among their values."""

from ramet.space.space import REDRAWS, Hparams, Space, SpaceLike, Where, same

__all__ = ["REDRAWS", "Hparams", "Space", "SpaceLike", "Where", "same"]
