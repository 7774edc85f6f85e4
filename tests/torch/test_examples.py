"""What is shown of PyTorch runs, and is as little as is said."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import ramet

ROOT = Path(__file__).parent.parent.parent
DIFF = re.compile(r"^```diff\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LOOP = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def readme() -> str:
    return (ROOT / "README.md").read_text()


def shown(signs: str) -> list[str]:
    """Return the lines of the README's diff that have these signs."""
    found = DIFF.search(readme())
    assert found
    return [line[1:] for line in found[1].splitlines() if line[:1] in signs]


def loop() -> str:
    found = LOOP.search(readme())
    assert found
    return found[1]


def test_ten_lines_make_a_loop_a_members() -> None:
    assert len([line for line in shown("+") if line]) == 10


def test_the_readmes_loop_is_that_of_the_example_and_of_the_diff() -> None:
    example = (ROOT / "examples" / "noisy_digits.py").read_text()
    assert example.endswith(f'''"""\n\n{loop()}''')
    lines = iter(line.strip() for line in loop().splitlines())
    # In this order, with others between them.
    assert all(line.strip() in lines for line in shown(" +") if line)


def test_the_readme_is_short() -> None:
    assert len(readme().split()) < 700


@pytest.mark.slow
def test_the_readmes_loop_runs_before_and_after(capsys: pytest.CaptureFixture[str]) -> None:
    data = "\n".join(
        line for line in loop().partition("def train")[0].splitlines() if "ramet" not in line
    )
    before = "\n".join([data, *shown(" -")]).replace("range(20)", "range(2)")
    exec(before, {})  # noqa: S102 - the point
    assert all(float(line) < 2.4 for line in capsys.readouterr().out.splitlines())

    after: dict[str, object] = {"__name__": "__main__"}
    exec(loop().replace("steps=1_000", "steps=100"), after)  # noqa: S102 - the point
    result = after["result"]
    assert isinstance(result, ramet.Result)
    assert result.best.score < 1.5


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
