"""The examples do what their first lines say."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.slow
def test_the_digits_are_read(tmp_path: Path) -> None:
    script = EXAMPLES / "digits.py"
    command = [sys.executable, "-m", "ramet", "run", script, "--workers", "2", "--steps", "200"]
    done = subprocess.run(
        [*command, "--seed", "0"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert done.stdout.startswith("Run 'digits' is done: 16 members, 32 turns")
    assert float(done.stdout.split("best ")[1].split(",")[0]) > 0.9
