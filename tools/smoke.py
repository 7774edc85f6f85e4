"""Try an installed ramet as a user would: the command, a run, its schedule and its replay.

    python tools/smoke.py VERSION    # with the Python of the environment to try

Uses nothing of this repository, so that it can be run on an empty environment with only the wheel.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

CLIMB = """
import numpy as np
import ramet

space = ramet.Space(lr=ramet.LogUniform(1e-3, 1.0))
strategy = ramet.PBT(population=5, turn_steps=10)
steps = 40
mode = "max"


def train(session):
    state = {"x": np.zeros(1)}
    for turn in session.turns(state):
        for _ in turn:
            state["x"] += turn.hparams["lr"]
        turn.report(state["x"][0])
"""

STEPS = {
    ("run", "climb.py", "--seed", "0", "--workers", "2"): "Run 'climb' is done: 5 members",
    ("status",): "climb: done",
    ("schedule",): "steps",
    ("replay", "climb.py", "--seeds", "2"): "replayed: ",
    ("rename", "climb", "first"): "Run 'climb' is called 'first' now",
    ("delete", "first", "--yes"): "Run 'first' is deleted",
    ("doctor",): "runs.db: 1 run, nothing wrong",
}


def main() -> None:
    (version,) = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "climb.py").write_text(CLIMB)
        for words, expected in {("--version",): f"ramet {version}", **STEPS}.items():
            said = subprocess.run(  # noqa: S603 - the commands above
                [sys.executable, "-I", "-m", "ramet", *words],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
            if said.returncode or expected not in said.stdout:
                sys.exit(f"ramet {' '.join(words)}: {said.returncode}\n{said.stdout}{said.stderr}")
    print(f"ramet {version} works")


if __name__ == "__main__":
    main()
