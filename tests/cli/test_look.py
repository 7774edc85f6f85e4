"""`ramet status` and `ramet runs`."""

import io
import os
import re
import signal
import subprocess
from pathlib import Path

import msgspec
import pytest
from rich.cells import cell_len
from rich.console import Console

import ramet as library
from ramet import wording
from ramet.blobs import MemoryBlobs
from ramet.cli import screen
from ramet.cli.look import make_screen
from ramet.cli.pace import Pace, draw_bars
from ramet.cli.view import View
from ramet.events import Copied, Logged
from ramet.store import MemoryStore, SQLiteStore
from ramet.testing import FakeClock
from tests.cli import quick
from tests.cli.shell import EXECUTABLE, called, figures, ramet

RUN = [
    "run",
    "state",
    "members",
    "steps",
    "done",
    "turns",
    "round",
    "copies",
    "failures",
    "failure",
    "mode",
    "best",
    "confirmed",
    "workers",
    "seed",
    "population",
]
MEMBER = [
    "member",
    "group",
    "turn",
    "trained",
    "step",
    "score",
    "copies",
    "worker",
    "silent_s",
    "hparams",
]


def test_status_shows_the_run_and_each_member(done: Path) -> None:
    code, out, err = called("status", done)
    assert (code, err) == (0, "")
    heading, facts, empty, columns, *members = out.splitlines()
    assert heading.startswith("quick: done, 100% of 40 steps each, best ")
    assert facts.startswith("5 members, 0 workers, 20 turns, ")
    assert not empty
    assert columns.split() == ["member", "trained", "step", "score", "copies", "lr"]
    assert [line.split()[:2] for line in members] == [[str(id_), "40"] for id_ in range(5)]


def test_status_shows_who_is_at_work(at_work: library.Run, tmp_path: Path) -> None:
    shown = ramet("status", tmp_path / "runs.db").output
    assert "quick: running, 0% of 40 steps each, best -\n5 members, 1 worker, 0 turns" in shown
    assert re.search(r"  …h-a-very-long-name-4711-0\.1 +\d+ s ago\n", shown)


def test_status_in_json_is_an_object_of_a_stable_shape(
    at_work: library.Run, tmp_path: Path
) -> None:
    code, out, err = called("status", tmp_path / "runs.db", "--json")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 1
    told = msgspec.json.decode(out)
    assert list(told) == RUN
    assert [list(row) for row in told["population"]] == [MEMBER] * 5
    assert (told["state"], told["workers"]) == ("running", 1)
    assert told["population"][0]["worker"] == at_work.worker


def test_a_round_is_told_of_a_synchronous_run(tmp_path: Path) -> None:
    strategy = library.PBT(population=5, turn_steps=10, synchronous=True)
    library.run(
        quick.train, quick.space, strategy, steps=20, mode="max", store=tmp_path / "runs.db"
    )
    assert ", round 2, " in ramet("status", tmp_path / "runs.db").output
    assert figures(tmp_path / "runs.db")["round"] == 2


@pytest.mark.parametrize("watched", [[], ["--json"]])
def test_watching_a_run_that_is_over_ends_at_once(done: Path, watched: list[str]) -> None:
    assert (
        ramet("status", done, "--watch", *watched).output == ramet("status", done, *watched).output
    )


def test_watching_a_run_in_json_gives_a_line_each_time(
    at_work: library.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ramet.cli.look.time.sleep", lambda _: _stopped(at_work))
    lines = ramet("status", tmp_path / "runs.db", "--watch", "--json").stdout.splitlines()
    assert [msgspec.json.decode(line)["state"] for line in lines] == ["running", "stopped"]


def _stopped(run: library.Run) -> None:
    run.stop()
    run.release_all()


def test_a_watched_table_is_renewed_in_place_and_fits_the_terminal(tmp_path: Path) -> None:
    strategy = library.RandomSearch(population=60, turn_steps=10)
    store = tmp_path / "runs.db"
    run = library.open(store, space=quick.space, strategy=strategy, steps=10, mode="max", seed=0)
    run.stop()
    shown = _on_a_terminal("status", str(store), "--watch", lines=20)
    assert "and 50 more members\r" in shown or "and 50 more members\n" in shown
    assert shown.rpartition("\x1b[2K")[2].count("\n") < 20


def test_watching_ends_quietly_with_ctrl_c(at_work: library.Run, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [str(EXECUTABLE), "status", str(tmp_path / "runs.db"), "--watch", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")


def _on_a_terminal(*arguments: str, lines: int, columns: int = 100) -> str:
    """Return what a command writes to a terminal of so many lines."""
    pty = pytest.importorskip("pty", reason="needs the terminals of Unix")
    ours, its = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "LINES": str(lines), "TERM": "xterm"}
    with subprocess.Popen([str(EXECUTABLE), *arguments], stdout=its, env=environment) as process:
        os.close(its)
        written = b""
        try:
            while part := os.read(ours, 65536):
                written += part
        except OSError:  # How a terminal says that nobody is left.
            pass
    os.close(ours)
    assert process.returncode == 0
    return written.decode()


def test_a_table_in_a_file_is_plain_and_never_cut(done: Path) -> None:
    _, out, _ = called("status", done)
    assert out.isascii()
    assert all(line == line.rstrip() for line in out.splitlines())


def test_hyperparameters_are_shown_as_far_as_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {f"hyperparameter_{i}": library.Choice(["flip", "crop"]) for i in range(5)}
    store = tmp_path / "runs.db"
    library.open(store, space=library.Space(**names), strategy=quick.strategy, steps=20, mode="max")
    assert "hyperparameter_4" in ramet("status", store).output
    monkeypatch.setattr(screen, "UNBOUNDED", 80)
    shown = ramet("status", store).output
    assert "hyperparameter_0" in shown
    assert "and 3 more hyperparameters (a wider terminal or --json shows them)" in shown
    assert max(map(len, shown.splitlines())) <= 80
    monkeypatch.setattr(screen, "UNBOUNDED", 120)
    assert "and 1 more hyperparameter (" in ramet("status", store).output


def test_failed_attempts_are_counted(tmp_path: Path) -> None:
    run = library.open(
        tmp_path / "runs.db",
        space=quick.space,
        strategy=quick.strategy,
        steps=20,
        mode="max",
        seed=0,
    )
    turn = run.ask()
    assert turn is not None
    run.fail(turn, "the disk was full")
    assert ", 1 failed attempt\n" in ramet("status", tmp_path / "runs.db").output


def test_a_run_must_be_named_where_there_are_several(two: Path) -> None:
    refused = ramet("status", two)
    assert refused.exit_code == 1
    assert refused.stderr.endswith("but runs.db has 'one', 'other'\n".replace("runs.db", str(two)))
    assert ramet("status", two, "other").output.startswith("other: done")


def test_a_run_that_is_not_there_is_told_with_those_that_are(two: Path) -> None:
    refused = ramet("status", two, "third")
    assert refused.exit_code == 1
    assert "'third' is not: " in refused.stderr
    assert "'one', 'other'" in refused.stderr


@pytest.mark.parametrize("command", ["status", "runs", "stop", "prune", "doctor"])
def test_a_store_that_is_not_there_is_not_made(tmp_path: Path, command: str) -> None:
    refused = ramet(command, tmp_path / "runs.db")
    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert refused.stderr == (
        f"ramet: a store must be where it is looked for, but {tmp_path / 'runs.db'} does not "
        f"exist\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_runs_lists_all_runs(two: Path) -> None:
    code, out, err = called("runs", two)
    assert (code, err) == (0, "")
    heading, *rows = out.splitlines()
    assert heading.split() == [
        "run",
        "state",
        "members",
        "steps",
        "done",
        "turns",
        "copies",
        "best",
    ]
    assert [row.split()[:5] for row in rows] == [
        ["one", "done", "5", "40", "100%"],
        ["other", "done", "5", "40", "100%"],
    ]


def test_runs_in_json_are_an_object_a_line(two: Path) -> None:
    lines = ramet("runs", two, "--json").stdout.splitlines()
    assert [list(msgspec.json.decode(line)) for line in lines] == [RUN[:-1]] * 2


def test_a_store_without_runs_says_so(tmp_path: Path) -> None:
    library.store.SQLiteStore(tmp_path / "runs.db").close()
    assert ramet("runs", tmp_path / "runs.db").output.endswith(" has no runs yet\n")
    assert ramet("runs", tmp_path / "runs.db", "--json").output == ""
    assert "has no runs yet" in ramet("status", tmp_path / "runs.db").stderr


def test_a_log_is_read_once_and_its_copies_are_counted_by_member(
    done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Logged] = []
    events = SQLiteStore.events

    def noted(
        store: SQLiteStore, run: str, after: int = -1, *, most: int | None = None
    ) -> list[Logged]:
        news = events(store, run, after, most=most)
        read.extend(news)
        return news

    monkeypatch.setattr(SQLiteStore, "events", noted)
    told = figures(done)
    assert [logged.number for logged in read] == list(range(len(read)))
    copied = [logged.event.member for logged in read if isinstance(logged.event, Copied)]
    assert told["copies"] == len(copied) > 0
    assert {row["member"]: row["copies"] for row in told["population"]} == {
        member: copied.count(member) for member in range(5)
    }


@pytest.mark.parametrize("command", ["runs", "status", "lineage", "schedule"])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_lacks_letters_is_shown_escapes(
    encoding: str, command: str, tmp_path: Path
) -> None:
    space = library.Space({"größe": library.LogUniform(1e-3, 1.0)})

    def train(session: library.Session) -> None:
        state = {"x": 0.0}
        for turn in session.turns(state):
            state["x"] += turn.hparams["größe"] * len(list(turn))
            turn.report(state["x"])

    library.run(
        train, space, quick.strategy, steps=20, mode="max", store=tmp_path / "a.db", name="日本"
    )
    poor = {"PYTHONIOENCODING": encoding, "LC_ALL": "C", "TERM": "dumb", "COLUMNS": "100"}
    pty = pytest.importorskip("pty", reason="needs the terminals of Unix")
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [EXECUTABLE, command, tmp_path / "a.db"],
        env=os.environ | poor,
        stdout=theirs,
        stderr=theirs,
        check=False,
    )
    os.close(theirs)
    # Click takes "ascii" for a mistake, and writes UTF-8.
    shown = os.read(ours, 10_000).decode(encoding, "replace")
    os.close(ours)
    assert done.returncode == 0, shown
    assert "Traceback" not in shown


def test_hyperparameters_without_room_are_named_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"group{number}.learning_rate" for number in range(9)]
    space = library.Space({name: library.Uniform(0.0, 1.0) for name in names})
    strategy = library.PBT(population=30, turn_steps=10)
    run = library.open(
        tmp_path / "runs.db", space=space, strategy=strategy, steps=20, mode="max", seed=0
    )
    assert run.ask() is not None
    shown = _on_a_terminal("status", str(tmp_path / "runs.db"), lines=24, columns=80)
    lines = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line) for line in shown.splitlines()]
    assert max(map(len, lines)) <= 80
    assert "and 8 more hyperparameters (a wider terminal or --json shows them): " in shown
    assert "group1.learning_rate" in shown
    run.release_all()
    wide = ramet("status", tmp_path / "runs.db").stdout
    assert "more hyperparameters" not in wide
    assert all(name in wide for name in names)


def test_names_of_wide_letters_without_room_take_two_lines(tmp_path: Path) -> None:
    names = [f"学習率{number}の大きさ" for number in range(40)]
    space = library.Space({name: library.Uniform(0.0, 1.0) for name in names})
    strategy = library.PBT(population=5, turn_steps=10)
    run = library.open(
        tmp_path / "runs.db", space=space, strategy=strategy, steps=20, mode="max", seed=0
    )
    run.stop()
    written = io.StringIO()
    console = Console(width=80, file=written, markup=False)
    view = View(run.result().store, run.name)
    console.print(make_screen(view, 5, 80, tracebacks=""))
    lines = written.getvalue().splitlines()
    (begin,) = [number for number, line in enumerate(lines) if "more hyperparameters" in line]
    assert len(lines) - begin <= 2
    assert max(map(cell_len, lines)) <= 80
    written.truncate(written.seek(0))
    # Lines that no member needs are theirs as well.
    console.print(make_screen(view, 25, 80, tracebacks=""))
    assert names[-1] in written.getvalue()
    written.truncate(written.seek(0))
    console.print(make_screen(view, 8, 80, tracebacks=""))
    lines = written.getvalue().splitlines()
    (begin,) = [number for number, line in enumerate(lines) if "more hyperparameters" in line]
    assert len(lines) - begin == 5
    assert lines[-1].rstrip().endswith("…")


def test_a_watched_run_says_how_long_it_takes_and_how_its_best_score_grew(tmp_path: Path) -> None:
    result = library.run(
        quick.train, quick.space, quick.strategy, steps=40, mode="max", store=tmp_path / "runs.db"
    )
    last = result.log[-1]
    pace = Pace(result.store, result.opening, 0, now=lambda: last.at + 3661.0)
    waiting = pace.describe(result.population, at_work=True)
    assert waiting.startswith("1:01:0")
    assert " since it began, about 0:00 left, best " in waiting
    over = pace.describe(result.population, at_work=False)
    assert "left" not in over
    assert over.endswith(f"█ to {wording.number(result.best.score)}")


@pytest.mark.parametrize("stopped", [True, False])
def test_the_time_left_is_at_the_pace_since_the_last_pause(*, stopped: bool) -> None:
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    kept = library.Storage(store, blobs=MemoryBlobs())
    settings = {"space": quick.space, "strategy": quick.strategy, "steps": 40, "mode": "max"}
    run = library.open(kept, name="slow", clock=clock, **settings)

    def train(turns: int) -> None:
        for _ in range(turns):
            turn = run.ask()
            for _ in turn:
                pass
            clock.sleep(10.0)
            turn.report(1.0)
            run.tell(turn, state={})

    pace = Pace(store, run.result().opening, 0, now=lambda: clock.now() + 20.0)
    assert pace.describe(run.population, at_work=False) == "0:20 since it began"
    train(5)
    if stopped:
        run.stop()
    clock.sleep(3600.0)
    if stopped:
        run = library.open(kept, name="slow", clock=clock, **settings)
    train(5)
    pace = Pace(store, run.result().opening, 0, now=clock.now)
    # 10 of 20 turns are left, and each took 10 s.
    assert pace.estimate_left_s(run.population) == pytest.approx(100.0)
    assert pace.describe(run.population, at_work=False).startswith("1:01:40 since it began")


def test_the_time_left_is_known_where_many_members_are_trained_at_once() -> None:
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    kept = library.Storage(store, blobs=MemoryBlobs())
    strategy = library.RandomSearch(population=70, turn_steps=5)
    run = library.open(
        kept, clock=clock, space=quick.space, strategy=strategy, steps=40, mode="max", name="wide"
    )
    for _ in range(3):
        turns = run.ask_all()
        for turn in turns:
            list(turn)
        clock.sleep(10.0)
        run.tell_all(turns, [1.0] * 70, states=[{}] * 70)
    pace = Pace(store, run.result().opening, 0, now=clock.now)
    assert pace.estimate_left_s(run.population) == pytest.approx(50.0)


@pytest.mark.parametrize("back_s", [100.0, 86_400.0])
def test_the_time_left_is_right_after_the_clock_was_set_back(back_s: float) -> None:
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    kept = library.Storage(store, blobs=MemoryBlobs())
    settings = {"space": quick.space, "strategy": quick.strategy, "steps": 40, "mode": "max"}
    run = library.open(kept, name="back", clock=clock, **settings)
    for nth in range(10):
        if nth == 7:
            clock.jump(-back_s)
        turn = run.ask()
        list(turn)
        clock.sleep(10.0)
        turn.report(1.0)
        run.tell(turn, state={})
    pace = Pace(store, run.result().opening, 0, now=clock.now)
    assert pace.estimate_left_s(run.population) == pytest.approx(100.0)


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ([3.0, 3.0], "▁▁"),
        ([0.0, 7.0], "▁█"),
        ([7.0, 0.0], "█▁"),
        ([-1.7e308, 1.7e308], "▁█"),
        ([0.0, 5e-324], "▁▁"),
        ([float(value) for value in range(1200)], "▁▁▂▃▃▄▅▆▆▇██"),
    ],
)
def test_a_line_of_bars_goes_from_the_lowest_to_the_highest(values: list[float], bars: str) -> None:
    assert draw_bars(values) == bars
