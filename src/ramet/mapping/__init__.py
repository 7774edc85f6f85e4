"""What vectorised tasks have in common in all frameworks: chunks, and values as arrays."""

from ramet.mapping.arrays import SpaceArrays
from ramet.mapping.chunks import TRIAL_STEPS, Chunk, Chunks
from ramet.mapping.refusals import check_task, step_changed, too_large

__all__ = [
    "TRIAL_STEPS",
    "Chunk",
    "Chunks",
    "SpaceArrays",
    "check_task",
    "step_changed",
    "too_large",
]
