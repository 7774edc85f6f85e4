"""What worker processes print: line by line, each with its member."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ramet
from ramet.engine.processes.printing import LONGEST_BYTES, MARK, Lines, Prints
from tests.engine.loops import SPACE
from tests.engine.scripts import ROOT, wait_for

STRATEGY = ramet.RandomSearch(population=4, turn_steps=2)


def lines_of(*pieces: bytes) -> list[str]:
    lines = Lines("worker 0")
    return [line for piece in pieces for line in lines.feed(piece)] + list(lines.end())


def mark(member: int) -> bytes:
    return MARK + f"member {member}\n".encode()


def test_lines_are_of_the_member_whose_turn_was_marked_last() -> None:
    printed = lines_of(b"import\n" + mark(3) + b"one\ntwo\n" + mark(1) + b"three\n")
    assert printed == [
        "[worker 0] import\n",
        "[member 3] one\n",
        "[member 3] two\n",
        "[member 1] three\n",
    ]


def test_a_line_that_begins_with_its_member_stays_as_it_is() -> None:
    warned = b"member 1 raised\nmember 1, turn 2 is given up\nmember 12 raised\nmember 1: done\n"
    assert lines_of(mark(1) + warned) == [
        "member 1 raised\n",
        "member 1, turn 2 is given up\n",
        "[member 1] member 12 raised\n",
        "[member 1] member 1: done\n",
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_it_does_not_matter_in_which_pieces_lines_arrive(size: int) -> None:
    whole = mark(3) + "größer\n\n".encode() + b"no end" + mark(12) + b"x" * 40
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    assert lines_of(*pieces) == [
        "[member 3] größer\n",
        "[member 3] \n",
        "[member 3] no end\n",
        f"[member 12] {'x' * 40}\n",
    ]


def test_of_a_line_that_overwrites_itself_the_last_is_shown() -> None:
    assert lines_of(b"10%\r50%\r100%\nDOS\r\n") == ["[worker 0] 100%\n", "[worker 0] DOS\n"]


def test_a_line_without_an_end_is_not_kept_for_ever() -> None:
    bar = [b"%d%%\r" % at + b" " * LONGEST_BYTES for at in range(5)]
    assert len(lines_of(*bar, b"\rdone\n")) == 1
    assert len(lines_of(b"x" * (LONGEST_BYTES + 1), b"y\n")) == 2


@pytest.mark.parametrize("cut", range(1, len(mark(12))))
def test_a_mark_behind_a_long_line_without_an_end_may_be_cut_anywhere(cut: int) -> None:
    long, marked = b"x" * (LONGEST_BYTES + 1), mark(12)
    printed = lines_of(long + marked[:cut], marked[cut:] + b"next\n")
    assert printed == [f"[worker 0] {'x' * (LONGEST_BYTES + 1)}\n", "[member 12] next\n"]


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_character_behind_a_long_line_without_an_end_may_be_cut_anywhere(cut: int) -> None:
    long, character = b"x" * (LONGEST_BYTES + 1), "🌱".encode()
    printed = lines_of(long + character[:cut], character[cut:] + b"\n")
    assert printed == [f"[worker 0] {'x' * (LONGEST_BYTES + 1)}\n", "[worker 0] 🌱\n"]


def test_what_is_no_text_is_shown_all_the_same() -> None:
    assert lines_of(b"\xff\x00\n") == ["[worker 0] \ufffd\x00\n"]


def show(code: str) -> int:
    """Run Python code as a worker; return its exit code."""
    prints = Prints("worker 0")
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=prints.stdout,
        stderr=prints.stderr,
        pass_fds=prints.held,
    )
    prints.show()
    process.wait()
    prints.end()
    return process.returncode


def test_output_and_errors_stay_apart(capsys: pytest.CaptureFixture[str]) -> None:
    show("import sys; print('out'); print('err', file=sys.stderr)")
    assert capsys.readouterr() == ("[worker 0] out\n", "[worker 0] err\n")


def test_the_last_words_of_a_process_that_dies_are_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    died = show("import os, sys; os.write(1, b'last words'); os.kill(os.getpid(), 9)")
    assert died == -9
    assert capsys.readouterr().out == "[worker 0] last words\n"


def test_all_of_what_is_printed_a_lot_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    show("for n in range(50_000): print('line', n)")
    printed = capsys.readouterr().out.splitlines()
    assert printed == [f"[worker 0] line {n}" for n in range(50_000)]


def test_a_process_prints_on_when_its_parents_output_is_closed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    closed = tmp_path.joinpath("closed").open("w")
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    assert show("for n in range(50_000): print('line', n)") == 0


def test_a_process_that_leaves_one_behind_is_not_waited_for_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("ramet.engine.processes.printing.LAST_S", 0.1)
    number = tmp_path / "number"
    code = "import subprocess, sys; print('here'); sys.stdout.flush(); "
    code += "left = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE); "
    code += f"open({str(number)!r}, 'w').write(str(left.pid)); import os; os._exit(0)"
    show(code)
    assert capsys.readouterr().out == "[worker 0] here\n"
    assert wait_for(number.exists)


def loud(session: ramet.Session) -> None:
    print("built")  # noqa: T201 - prints are what is tested
    for turn in session.turns({"w": 0.0}):
        for step in turn:
            print(f"step {step} of {turn.member}")  # noqa: T201 - as above
        print(f"scored {turn.member}", file=sys.stderr)  # noqa: T201 - as above
        os.write(1, f"from elsewhere of {turn.member}\n".encode())
        turn.report(0.0)


@pytest.mark.slow
def test_what_workers_print_carries_the_member_and_is_all_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ramet.run(loud, SPACE, STRATEGY, steps=4, mode="max", seed=0, workers=2)
    out, err = capsys.readouterr()
    printed = [line for line in out.splitlines() if "built" not in line]
    expected = [
        f"[member {member}] {what} of {member}"
        for member in range(4)
        for what in (*(f"step {step}" for step in range(4)), "from elsewhere", "from elsewhere")
    ]
    assert sorted(printed) == sorted(expected)
    assert sorted(line for line in err.splitlines() if "scored" in line) == sorted(
        f"[member {member}] scored {member}" for member in range(4) for _ in range(2)
    )
    assert out.count("] built\n") == out.count("built") >= 2


SCRIPT = """
import ramet
from tests.engine.test_prints import SPACE, STRATEGY, loud

engine = ramet.Processes(2, progress=True)
ramet.run(loud, SPACE, STRATEGY, steps=4, mode="max", seed=0, engine=engine)
"""


@pytest.mark.slow
def test_what_workers_print_does_not_run_into_the_progress_line(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    ours, terminal = os.openpty()
    with subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        shown = b""
        while piece := _read(ours):
            shown += piece
        assert process.stdout is not None
        out = process.stdout.read().decode()
    os.close(ours)
    assert process.returncode == 0
    # What goes to a file stays out of the terminal, and the other way round.
    assert out.count("[member ") >= 24
    assert "scored" not in out
    assert b"step 3 of" not in shown
    before = [line.rpartition(b"[member")[0] for line in shown.split(b"\n") if b"scored" in line]
    assert len(before) == 8
    assert not [each for each in before if b"members" in each.rpartition(b"\x1b[2K")[2]]


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # How a terminal says that nobody is left.
        return b""


@pytest.mark.slow
@pytest.mark.parametrize(("encoding", "shown"), [("latin-1", b"\xf6"), ("ascii", rb"\xf6")])
def test_workers_print_in_the_encoding_of_their_parent(
    encoding: str, shown: bytes, tmp_path: Path
) -> None:
    script = tmp_path / "train.py"
    program = "import ramet\nfrom tests.engine.test_prints import SPACE, STRATEGY\n"
    program += (
        "def train(session):\n    for turn in session.turns({}):\n        print('ö', *turn)\n"
    )
    program += "        turn.report(0.0)\n"
    program += "ramet.run(train, SPACE, STRATEGY, steps=2, mode='max', workers=1)\n"
    script.write_text(program, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"] " + shown in done.stdout


def test_what_a_worker_prints_is_shown_where_letters_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    prints = Prints("worker 0")
    writing = os.dup(prints.stdout)
    prints.show()
    os.write(writing, "größer\n".encode())
    os.close(writing)
    wait_for(lambda: shown.getvalue() == b"[worker 0] gr\\xf6\\xdfer\n")
