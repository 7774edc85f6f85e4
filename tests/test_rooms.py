import re
from pathlib import Path

import pytest

from tools.rooms import FOLDERS, main

PYPROJECT = """\
[[tool.importlinter.contracts]]
layers = ["cli | testing", "engine"]
"""


ROOT = Path(__file__).parents[1]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for folder in (*FOLDERS, "src/ramet/store", "docs"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "src/ramet/store/__init__.py").write_text('"""Where runs are recorded."""\n')
    (tmp_path / "src/ramet/store/memory.py").write_text('"""A ``Store`` in memory.\n\nMore."""\n')
    (tmp_path / "src/ramet/clock.py").write_text('"""Time as an argument."""\n')
    return tmp_path


def write_page(repository: Path) -> str:
    assert main(["--root", str(repository)]) == 0
    return (repository / "docs/rooms.md").read_text()


def check(repository: Path) -> int:
    return main(["--root", str(repository), "--check"])


def test_the_page_has_the_first_line_of_each_file_under_its_package(repository: Path) -> None:
    assert (
        "clock.py     Time as an argument.\n"
        "store/       Where runs are recorded.\n"
        "  memory.py  A `Store` in memory.\n"
    ) in write_page(repository)


def test_the_page_has_the_layers_that_the_import_linter_checks(repository: Path) -> None:
    assert "```\ncli   testing\nengine\n```\n" in write_page(repository)


def test_a_page_that_was_just_written_is_up_to_date(repository: Path) -> None:
    write_page(repository)
    assert check(repository) == 0


def test_a_new_file_makes_the_page_out_of_date(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = write_page(repository)
    (repository / "src/ramet/space.py").write_text('"""Named domains."""\n')
    assert check(repository) == 1
    assert "run `python -m tools.rooms`" in capsys.readouterr().out
    assert (repository / "docs/rooms.md").read_text() == before


def test_a_page_that_is_missing_is_out_of_date(repository: Path) -> None:
    assert check(repository) == 1


def test_the_architecture_names_every_room() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    named = set(re.findall(r"`(\w+)`", page.partition("## Where things are")[2]))
    code = ROOT / "src/ramet"
    rooms = {path.stem for path in code.glob("*.py")} | {
        path.parent.name for path in code.glob("*/__init__.py")
    }
    assert rooms - {"__init__", "__main__"} <= named
