"""Targets of the fuzzer on which something goes wrong, each in its own way."""

import os
import pickle
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from ramet.errors import CheckpointDamaged

Look = Callable[[], object]


def refusing(rng: random.Random, folder: Path) -> Look:
    def look() -> None:
        raise CheckpointDamaged(f"{folder} has {rng.random()} in it")

    return look


def raising(rng: random.Random, folder: Path) -> Look:
    return lambda: {}["nothing"]


def talkative(rng: random.Random, folder: Path) -> Look:
    def look() -> None:
        # More than a pipe holds.
        raise KeyError("x" * 300_000)

    return look


def greedy(rng: random.Random, folder: Path) -> Look:
    return lambda: bytearray(5_000_000_000)


def dying(rng: random.Random, folder: Path) -> Look:
    return lambda: os.kill(os.getpid(), signal.SIGBUS)


def hanging(rng: random.Random, folder: Path) -> Look:
    return lambda: time.sleep(60)


def unpickling(rng: random.Random, folder: Path) -> Look:
    evil = pickle.dumps(os.getcwd)
    return lambda: pickle.loads(evil)  # noqa: S301 - which is to be seen


def evaluating(rng: random.Random, folder: Path) -> Look:
    return lambda: eval("1 + 1")  # noqa: S307 - which is to be seen


def reaching_elsewhere(rng: random.Random, folder: Path) -> Look:
    return lambda: (folder.parent / "elsewhere").write_text("gone astray")
