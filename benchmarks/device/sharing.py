"""Two JAX workers on one GPU: whether they have room, and what says so if they have not.

python -m benchmarks.device.sharing   # one run, as the environment is
"""

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import ramet
import ramet.jax
from benchmarks.device.writing import Part
from benchmarks.nets import SPACE, InJax

STEPS = 200
# What the environment says beside what is there.
ENVIRONMENTS = {
    "as it is": {},
    "not preallocated": {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
    "a share each": {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.37"},
}
LONGEST_S = 25.0


def measure(part: Part) -> None:
    for how, given in ENVIRONMENTS.items():
        part.measure(functools.partial(run_with, given, part.left_s), how=how, needs_s=8)


def run_with(given: dict[str, str], left_s: float) -> dict[str, Any]:
    """Return what became of a run with these variables in its environment."""
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.device.sharing"],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
        timeout=min(LONGEST_S, left_s),
    )
    return {"rc": ran.returncode, "stdout": ran.stdout[-500:], "stderr": ran.stderr[-3_000:]}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        result = ramet.run(
            ramet.jax.Task(InJax("mlp")),
            SPACE,
            ramet.RandomSearch(population=4, turn_steps=STEPS, synchronous=True),
            steps=2 * STEPS,
            mode="max",
            seed=0,
            store=Path(folder) / "runs.db",
            progress=False,
            workers=2,
        )
    print(json.dumps({"score": result.best.score, "events": len(result.log)}))


if __name__ == "__main__":
    main()
