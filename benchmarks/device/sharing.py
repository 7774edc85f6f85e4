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
from subprocess import PIPE
from typing import Any

import ramet
import ramet.jax
from benchmarks.device.writing import Part
from benchmarks.nets import SPACE, InJax

STEPS = 200
# Variables that are added to the environment.
ENVIRONMENTS = {
    "as it is": {},
    "not preallocated": {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
    "a share each": {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.37"},
}
LONGEST_S = 25.0


def measure(part: Part) -> None:
    for how, given in ENVIRONMENTS.items():
        part.measure(
            functools.partial(run_with, given, part.left_s if part.small else LONGEST_S),
            how=how,
            needs_s=8,
        )


def run_with(given: dict[str, str], longest_s: float) -> dict[str, Any]:
    """Return how a run with these variables in its environment ended."""
    command = [sys.executable, "-m", "benchmarks.device.sharing"]
    environment = {**os.environ, **given}
    with subprocess.Popen(  # noqa: S603 - our own
        command, env=environment, stdout=PIPE, stderr=PIPE, text=True
    ) as ran:
        try:
            stdout, stderr = ran.communicate(timeout=longest_s)
        except subprocess.TimeoutExpired:
            ran.kill()
            stdout, stderr = ran.communicate()
    return {"rc": ran.returncode, "stdout": stdout[-500:], "stderr": stderr[-3_000:]}


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
            engine=ramet.Processes(2, progress=False),
        )
    print(json.dumps({"score": result.best.score, "events": len(result.log)}))


if __name__ == "__main__":
    main()
