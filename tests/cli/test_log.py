"""`ramet log`, and what other commands say when the user's code fails."""

import os
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

import ramet as library
from ramet.cli import log
from ramet.errors import RunFailed, RunNotFound
from ramet.history.narrating import Narrator
from ramet.store import SQLiteStore
from tests.cli import quick
from tests.cli.shell import EXECUTABLE, PATIENCE_S, QUICK, called, ended, figures, ramet, started

FAILS = """\
import ramet

space = ramet.Space(lr=ramet.LogUniform(1e-3, 1.0))
strategy = ramet.PBT(population=5, turn_steps=10)
steps, mode = 40, "max"


def weigh(turn):
    if turn.number == 1:
        raise ZeroDivisionError("the loss exploded")


def train(session):
    for turn in session.turns({"w": 0.0}):
        for _ in turn:
            turn.hparams["lr"]
        weigh(turn)
        turn.report(0.0)
"""
RAISES = 'File "{script}", line 10, in weigh'


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A store with a run that failed, and what the command printed, by its number of workers."""
    folder = tmp_path_factory.mktemp("runs that failed")
    script = folder / "train.py"
    script.write_text(FAILS)
    said = {}
    for workers in ("0", "1"):
        name = f"run-{workers}"
        code, out, err = called(
            "run", "train.py", "--workers", workers, "--name", name, "--seed", "0", cwd=folder
        )
        assert (code, out) == (1, "")
        said[workers] = err
    return folder / "runs.db", said


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_run_that_fails_ends_with_the_traceback_of_the_users_code(
    workers: str, failed: tuple[Path, dict[str, str]]
) -> None:
    store, said = failed
    before, _, after = said[workers].rpartition("Traceback (most recent call last)")
    script = store.with_name("train.py")
    assert RAISES.format(script=script) in after
    assert "ZeroDivisionError: the loss exploded\nramet: at most 50% of the members" in after
    # Nothing of ours leads to the user's code, and each failure is one line of the log.
    assert "loop.py" not in after
    # A run that takes long, as on a busy machine, has lines of progress too.
    lines = [line for line in before.splitlines() if f"  run-{workers}  5 members  " not in line]
    raised = [line for line in lines if f"the loss exploded ({script}:10)" in line]
    given_up = [line for line in lines if "is given up: it failed too often; its steps" in line]
    assert (len(raised), len(given_up)) == (6, 3)
    assert len(lines) == 9
    assert all(line.startswith("member ") for line in raised)


def test_the_log_shows_each_event_and_a_traceback_once(
    failed: tuple[Path, dict[str, str]],
) -> None:
    store, _ = failed
    shown = ramet("log", store, "run-0")
    assert shown.exit_code == 0
    lines = shown.output.splitlines()
    assert "RunOpened       5 members, 40 steps each, PBT, seed 0" in lines[0]
    assert shown.output.count("Traceback (most recent call last)") == 1
    assert shown.output.count("AttemptFailed ") == 6
    assert "is given up: it failed too often" in shown.output
    assert "exploit: weights and hyperparameters" in shown.output


def test_the_log_can_be_narrowed(failed: tuple[Path, dict[str, str]]) -> None:
    store, _ = failed

    def kinds(*options: object) -> list[tuple[str, int | None]]:
        shown = ramet("log", store, "run-1", *options, "--json").output
        read: list[dict[str, Any]] = [msgspec.json.decode(line) for line in shown.splitlines()]
        assert {(next(iter(event)), event["run"]) for event in read} == {("run", "run-1")}
        return [(event["kind"], event["fields"].get("member")) for event in read]

    wrong = kinds("--failures")
    assert {kind for kind, _ in wrong} == {"AttemptFailed", "TurnLost"}
    assert kinds("--failures", "--last", 2) == wrong[-2:]
    member = wrong[0][1]
    assert {it for _, it in kinds("--failures", "--member", member)} == {member}
    assert {kind for kind, _ in kinds("--kind", "turnended")} == {"TurnEnded"}
    assert ("Copied", member) in kinds("--member", member)


def test_an_unknown_kind_is_refused(failed: tuple[Path, dict[str, str]]) -> None:
    shown = ramet("log", failed[0], "run-0", "--kind", "failure")
    assert shown.exit_code == 2
    assert "must be one of RunOpened, TurnEnded" in shown.output


def test_the_status_of_a_run_that_failed_says_why(failed: tuple[Path, dict[str, str]]) -> None:
    store, _ = failed
    script = store.with_name("train.py")
    _, _, why, *_ = ramet("status", store, "run-1").output.splitlines()
    assert "ZeroDivisionError: the loss exploded" in why
    assert f"({script}:10)" in why
    assert f"`ramet log '{store}' run-1 --failures` shows the traceback" in why
    failure = figures(store, "run-1")["failure"]
    assert failure["error"] == "ZeroDivisionError: the loss exploded"
    assert failure["where"] == f"{script}:10"


def test_the_status_of_a_run_without_failures_names_none(done: Path) -> None:
    assert "last failure" not in ramet("status", done).output
    assert figures(done)["failure"] is None


def open_quick(store: Path, *, turn_steps: int = 20, existing: Any = "resume") -> library.Run:
    return library.open(
        store,
        name="quick",
        space=quick.space,
        strategy=library.RandomSearch(population=1, turn_steps=turn_steps),
        steps=40,
        mode="max",
        seed=0,
        existing=existing,
    )


def train_turn(run: library.Run, score: float) -> None:
    turn = run.ask()
    assert turn is not None
    list(turn)
    run.tell(turn, score, state={"w": 0.0})


def test_a_log_is_followed_until_the_run_is_over(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    run = open_quick(store, turn_steps=40)
    process = started("log", store, "--follow")
    first = process.stdout.readline()
    assert "RunOpened" in first
    train_turn(run, 0.5)
    code, out, err = ended(process)
    assert (code, err) == (0, "")
    assert "member 0, turn 0: step 40, score 0.5" in out


@pytest.mark.parametrize("workers", ["0", "1"])
def test_misuse_in_a_loop_is_shown_with_its_line(workers: str, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(FAILS.replace("turn.report(0.0)", "turn.report('good')"))
    code, _, err = called("run", "train.py", "--workers", workers, cwd=tmp_path)
    assert code == 2
    assert "but got the text 'good'" in err
    assert err.endswith(f"It was raised at {script}:18\n")


def test_progress_is_in_a_file_and_on_the_terminal(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty", reason="needs the terminals of Unix")
    controller, terminal = pty.openpty()
    environment = {**os.environ, "QUICK_PAUSE_S": "0.1"}
    command = [EXECUTABLE, "run", QUICK]
    with (tmp_path / "log.txt").open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=terminal, cwd=tmp_path, env=environment
        )
        assert process.wait(PATIENCE_S) == 0
    os.close(terminal)
    os.close(controller)
    *lines, last = (tmp_path / "log.txt").read_text().splitlines()
    assert "  quick  5 members  step 40/40 (100%)" in lines[-1]
    assert last.startswith("Run 'quick' is done")


def test_python_raises_with_the_traceback_at_hand() -> None:
    def train(session: library.Session) -> None:
        raise LookupError("no such data")

    for workers in (0, 1):
        with pytest.raises(RunFailed) as caught:
            library.run(
                train,
                quick.space,
                quick.strategy,
                steps=quick.steps,
                mode="max",
                seed=0,
                workers=workers,
            )
        line = train.__code__.co_firstlineno + 1
        assert f'File "{__file__}", line {line}, in train' in caught.value.traceback
        assert caught.value.traceback.endswith("LookupError: no such data\n")
        shown = caught.value.__cause__
        assert isinstance(shown, LookupError) or caught.value.traceback in str(shown)


def test_a_run_that_is_followed_and_overwritten_by_a_shorter_one_is_not_mixed_up(
    tmp_path: Path,
) -> None:
    store = tmp_path / "runs.db"
    run = open_quick(store)
    train_turn(run, 0.5)
    opened = SQLiteStore(store)
    narrator = Narrator(opened, "quick")
    assert len(list(narrator.read_on())) > 1
    open_quick(store, existing="overwrite")
    with pytest.raises(RunNotFound, match="has been overwritten since"):
        list(narrator.read_on())
    opened.close()


def test_what_the_last_worker_wrote_before_it_left_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "runs.db"
    run = open_quick(store)

    def is_over(*_: object) -> bool:
        train_turn(run, 0.25)
        return True

    monkeypatch.setattr(log, "_is_over", is_over)
    assert "step 20, score 0.25" in ramet("log", store, "--follow").output
