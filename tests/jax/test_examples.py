"""What is shown of JAX runs."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.mark.slow
def test_the_example_reads_digits() -> None:
    command = [sys.executable, EXAMPLES / "jax_vectorized.py"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    said = done.stdout.splitlines()[0]
    assert float(said.split("%")[0]) > 80
