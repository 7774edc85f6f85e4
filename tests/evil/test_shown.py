"""What names, values and tracebacks hold is shown: a terminal or a spreadsheet acts on nothing."""

import csv
import io
import logging
from pathlib import Path

import msgspec
import pytest

import ramet as library
from ramet.cli import screen
from ramet.engine.progress import Progress
from ramet.errors import RametError, RunNotFound, UnknownHyperparameter
from ramet.visible import cut, label, message, visible
from tests.cli.conftest import begin
from tests.cli.shell import called, ramet
from tests.evil.stores import ESCAPES
from tests.evil.test_commands import ACTS

# As Python writes it in code.
SHOWN = r"\x1b]0;pwned\x07\x1b[31mred\x1b[2J\r\nEVIL\x1b]52;c;cHduZWQ=\x07\x9b31m\u202e"
FORMULAS = ["=cmd|' /C calc'!A0", "@SUM(1+1)", "+1", "-1", "'quoted", "flip"]


@pytest.fixture(scope="session")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a run that is named to do harm."""
    store = tmp_path_factory.mktemp("named") / "runs.db"
    begin(store, ESCAPES)
    return store


@pytest.mark.parametrize("text", ["plain", "naïve 日本語 💥", r"back\slash 'quotes'", ""])
def test_what_can_be_printed_is_shown_as_it_is(text: str) -> None:
    assert visible(text) == label(text) == message(text) == text


def test_what_a_terminal_acts_on_is_shown_as_an_escape() -> None:
    assert visible(ESCAPES) == label(ESCAPES) == SHOWN
    assert visible("\ud83d\x7f\u2066") == r"\ud83d\x7f\u2066"


def test_a_message_keeps_its_lines_and_nothing_else_that_a_terminal_acts_on() -> None:
    assert message("one\n\ttwo\r\x1b[2J") == "one\n\ttwo\\r\\x1b[2J"


@pytest.mark.parametrize("most", [1, 2, 5, 10])
def test_what_is_cut_has_its_beginning_and_its_end(most: int) -> None:
    assert cut("0123456789", 10) == "0123456789"
    shown = cut("0123456789x", most)
    assert len(shown) == most
    head, tail = shown.split("…")
    assert "0123456789x".startswith(head)
    assert "0123456789x".endswith(tail)


@pytest.mark.parametrize("command", ["runs", "status", "lineage", "doctor", "prune"])
def test_a_name_reaches_no_terminal_as_it_is(named: Path, command: str) -> None:
    done = ramet(command, named)
    assert done.exit_code == 0, done.output
    assert not ACTS & set(done.output)
    assert command == "doctor" or SHOWN in done.output


def test_a_real_process_shows_it_so_too(named: Path) -> None:
    code, out, err = called("runs", named)
    assert (code, err) == (0, "")
    assert SHOWN in out


def test_errors_show_what_they_quote_and_keep_it(named: Path) -> None:
    done = ramet("status", named, "\x1b[2Jother")
    assert done.exit_code == 1
    assert "\\x1b[2Jother" in done.output
    assert not ACTS & set(done.output)
    error = RunNotFound("no run \x1b]0;x\x07")
    assert (str(error), error.args) == (r"no run \x1b]0;x\x07", ("no run \x1b]0;x\x07",))
    assert str(UnknownHyperparameter("\x9b")) == r"\x9b"
    assert len(str(RametError("x" * 5_000_000))) == 20_000


def test_json_holds_the_very_name_and_no_raw_character_of_it(named: Path) -> None:
    for command in ("runs", "status"):
        told = ramet(command, named, "--json").stdout
        assert not ACTS & set(told)
        assert msgspec.json.decode(told)["run"] == ESCAPES


def test_log_records_are_shown_so_and_their_fields_are_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = logging.getLogger("ramet")
    with caplog.at_level("INFO", "ramet"):
        logger.warning("worker %s of %d", "\x1b[2J", 3, extra={"by": "\x1b[2J"})
        logger.info("worker %s", "a")
    first, second = caplog.records
    assert first.getMessage() == r"worker \x1b[2J of 3"
    assert vars(first)["by"] == "\x1b[2J"
    assert (second.msg, second.args) == ("worker %s", ("a",))


def test_the_progress_display_shows_a_name_so(
    named: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = library.history.load(named)
    with Progress(ESCAPES, shown=True, seconds=lambda: 0.0) as watch:
        watch(result)
    assert r"\x1b]0;pwned\x07" in caplog.text
    assert "\x1b]0;" not in caplog.text


@pytest.fixture(scope="module")
def formulas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a run whose values a spreadsheet would evaluate."""
    store = tmp_path_factory.mktemp("formulas") / "runs.db"

    def train(session: library.Session) -> None:
        for turn in session.turns({}):
            for _ in turn:
                _ = turn.hparams["=act"], turn.hparams["low"]
            turn.report(-1.5)

    choices = [{"=act": text, "low": -1.0} for text in FORMULAS]
    library.run(
        train,
        library.Space({"=act": library.Choice(FORMULAS), "low": library.Uniform(-1.0, 0.0)}),
        library.RandomSearch(population=len(FORMULAS), turn_steps=1, initial=choices),
        steps=1,
        mode="max",
        seed=0,
        store=library.Storage(store, durability="process"),
        engine=library.Inline(progress=False),
    )
    return store


def test_no_cell_of_a_csv_file_is_a_formula_and_numbers_stay_numbers(
    formulas: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    assert ramet("export", formulas, "--table", "members", "-o", out).exit_code == 0
    rows = list(csv.DictReader(io.StringIO(out.read_text("utf-8"))))
    told = [row["hparams.=act"] for row in rows]
    assert told == ["'=cmd|' /C calc'!A0", "'@SUM(1+1)", "'+1", "'-1", "''quoted", "flip"]
    assert [text.removeprefix("'") for text in told] == FORMULAS
    assert {row["score"] for row in rows} == {"-1.5"}
    assert {row["hparams.low"] for row in rows} == {"-1.0"}


def test_other_formats_hold_the_very_text(formulas: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    arguments = ("--table", "members", "--format", "jsonl", "-o", out)
    assert ramet("export", formulas, *arguments).exit_code == 0
    rows = [msgspec.json.decode(line) for line in out.read_bytes().splitlines()]
    assert [row["hparams.=act"] for row in rows] == FORMULAS


SPACES = "a\u00a0b\u200d\u3000\x1b[2J\x9b31m"


@pytest.fixture(scope="module")
def spaced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a run whose values hold what cannot be printed, and is text all the same."""
    store = tmp_path_factory.mktemp("spaced") / "runs.db"

    def train(session: library.Session) -> None:
        for turn in session.turns({}):
            for _ in turn:
                _ = turn.hparams["act"]
            turn.report(1.0)

    space = library.Space({"act": library.Choice([SPACES, SPACES + "2"])})
    random = library.RandomSearch(population=2, turn_steps=1)
    where, engine = library.Storage(store, durability="process"), library.Inline(progress=False)
    library.run(train, space, random, steps=1, mode="max", seed=0, store=where, engine=engine)
    return store


@pytest.mark.parametrize("more", [[], ["-o", "-"]])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_pipe_gets_a_table_as_a_file_holds_it(
    spaced: Path, tmp_path: Path, kind: str, more: list[str]
) -> None:
    out = tmp_path / "out"
    asked = ("export", spaced, "--table", "members", "--format", kind)
    assert ramet(*asked, "-o", out).exit_code == 0
    printed = ramet(*asked, *more)
    assert printed.stdout_bytes == out.read_bytes()
    assert SPACES in printed.stdout or kind == "jsonl"
    if kind == "jsonl":
        acts = [msgspec.json.decode(line)["hparams.act"] for line in printed.stdout.splitlines()]
        assert {act.removesuffix("2") for act in acts} == {SPACES}


@pytest.mark.parametrize("more", [[], ["-o", "-"]])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_terminal_is_shown_a_table_with_escapes(
    spaced: Path, monkeypatch: pytest.MonkeyPatch, kind: str, more: list[str]
) -> None:
    monkeypatch.setattr(screen, "on_terminal", lambda: True)
    shown = ramet("export", spaced, "--table", "members", "--format", kind, *more).stdout
    assert all(line.isprintable() for line in shown.split("\n"))
    if kind == "csv":
        assert r"a\xa0b\u200d\u3000\x1b[2J\x9b31m" in shown
    else:
        acts = [msgspec.json.decode(line)["hparams.act"] for line in shown.splitlines()]
        assert {act.removesuffix("2") for act in acts} == {SPACES}


def test_parquet_is_printed_on_no_terminal(spaced: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "on_terminal", lambda: True)
    refused = ramet("export", spaced, "--format", "parquet", "-o", "-")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "parquet must be written to a file" in refused.stderr
