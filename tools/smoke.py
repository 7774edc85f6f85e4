"""Try an installed ramet as a user would: the command, a run, its schedule and its replay.

    python tools/smoke.py VERSION    # with the Python of the environment to try

Takes only an example from this repository, so an environment with nothing but the wheel is enough.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "cluster" / "climb.py"

# Commands, and what each prints.
STEPS = {
    "run climb.py --steps 40 --seed 0 --workers 2": "Run 'climb' is done: 8 members",
    "status": "climb: done",
    "schedule": "steps",
    "replay climb.py --seeds 2": "replayed: ",
    "rename climb first": "Run 'climb' is called 'first' now",
    "delete first --yes": "Run 'first' is deleted",
    "doctor": "runs.db: 1 run, nothing wrong",
}


def main() -> None:
    (version,) = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(EXAMPLE, folder)
        for words, expected in {"--version": f"ramet {version}", **STEPS}.items():
            said = subprocess.run(  # noqa: S603 - the commands above
                [sys.executable, "-I", "-m", "ramet", *words.split()],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
            if said.returncode or expected not in said.stdout:
                sys.exit(f"ramet {words}: {said.returncode}\n{said.stdout}{said.stderr}")
    print(f"ramet {version} works")


if __name__ == "__main__":
    main()
