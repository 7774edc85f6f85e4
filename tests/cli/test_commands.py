import subprocess
import sys
from importlib.metadata import version

import pytest
from typer.testing import CliRunner, Result

from ramet.cli import app, main
from ramet.errors import StoreError


def ramet(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_help_lists_the_commands() -> None:
    shown = ramet("--help")
    assert shown.exit_code == 0
    assert "demo" in shown.output


def test_a_bare_call_shows_the_help_too() -> None:
    assert ramet().output.strip() == ramet("--help").output.strip()


@pytest.mark.parametrize("command", [info.name for info in app.registered_commands])
def test_every_command_has_help_and_an_example(command: str) -> None:
    shown = ramet(command, "--help").output
    assert f"Example: ramet {command}" in shown


def test_the_version_is_that_of_the_package() -> None:
    assert ramet("--version").output == f"ramet {version('ramet')}\n"


def test_without_torch_the_demo_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # As if nobody had trained yet, and it were not installed.
    monkeypatch.delattr("ramet.cli.digits", raising=False)
    monkeypatch.delitem(sys.modules, "ramet.cli.digits", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SystemExit, match="2"):
        main(["demo"])
    told = capsys.readouterr()
    assert "import of torch" in told.err
    assert "pip install 'ramet[demo]'" in told.err
    assert told.out == ""


def test_what_is_not_the_users_mistake_ends_with_another_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreadable(*_: object) -> None:
        raise StoreError("the store cannot be read")

    monkeypatch.setattr("ramet.cli.look.existing", unreadable)
    with pytest.raises(SystemExit, match="1"):
        main(["runs", "runs.db"])
    assert capsys.readouterr().err == "ramet: the store cannot be read\n"


def test_the_package_runs_as_the_command() -> None:
    command = [sys.executable, "-m", "ramet", "--help"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "demo" in shown.stdout


def test_the_command_loads_no_framework() -> None:
    code = "import sys, ramet.cli; print(*{'torch', 'sklearn', 'matplotlib'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert loaded.stdout.split() == []
