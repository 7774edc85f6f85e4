"""What is fuzzed: each target makes one trial after the other.

A target is a function of a generator of random numbers and an empty folder. It puts files there
and returns a function without arguments: the look at them, which is what is watched. To make the
files may cost anything and may use the disk as it likes; they should depend on ``rng`` alone.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from benchmarks.fuzz import checkpoints, stores

Target: TypeAlias = Callable[[random.Random, Path], Callable[[], object]]

TARGETS: dict[str, Target] = {"checkpoints": checkpoints.trial, "stores": stores.trial}
