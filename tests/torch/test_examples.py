"""What is shown of PyTorch runs, and is as little as is said."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import ramet

ROOT = Path(__file__).parent.parent.parent
DIFF = re.compile(r"^```diff\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def shown(signs: str) -> str:
    """Return the README's script from the lines of its diff that have these signs."""
    found = DIFF.search((ROOT / "README.md").read_text())
    assert found
    return "\n".join(line[1:] for line in found[1].splitlines() if line[:1] in signs)


def test_at_most_twelve_lines_make_a_loop_a_members() -> None:
    plain, members = shown(" -").splitlines(), shown(" +").splitlines()
    changed = [line for line in members if line not in plain]
    assert len(changed) <= 12


@pytest.mark.slow
def test_the_readmes_loop_runs_before_and_after(capsys: pytest.CaptureFixture[str]) -> None:
    exec(shown(" -").replace("range(20)", "range(2)"), {})  # noqa: S102 - the point
    assert capsys.readouterr().out.startswith("tensor(")

    after: dict[str, object] = {}
    exec(shown(" +").replace("steps=1_000", "steps=100"), after)  # noqa: S102 - the point
    result = after["result"]
    assert isinstance(result, ramet.Result)
    assert result.best.score > 0.7


@pytest.mark.slow
def test_the_example_reads_digits(tmp_path: Path) -> None:
    script = ROOT / "examples" / "pytorch_loop.py"
    command = [sys.executable, "-m", "ramet", "run", script, "--workers", "1", "--steps", "100"]
    done = subprocess.run(
        [*command, "--seed", "0"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert done.stdout.startswith("Run 'pytorch_loop' is done: 8 members, 16 turns")
    assert float(done.stdout.split("best ")[1].split(",")[0]) > 0.8


@pytest.mark.slow
def test_a_population_at_once_reads_digits() -> None:
    command = [sys.executable, ROOT / "examples" / "torch_vectorized.py"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    said = done.stdout.splitlines()[0]
    assert float(said.split("%")[0]) > 80
