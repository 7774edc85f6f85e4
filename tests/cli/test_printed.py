"""The commands that messages print do what they say when they are pasted into a shell."""

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import example, given
from hypothesis import strategies as st

import ramet as library
from ramet.cli import app
from ramet.wording import command, shell_word
from tests.cli import quick
from tests.cli.shell import QUICK, ramet
from tests.frameworks import program

ODD = [
    "-b",
    "--",
    "--json",
    "-",
    "a b",
    "it's",
    'say "x"',
    "$HOME",
    "*",
    "~",
    "#1",
    "a\\b",
    "a\\\\b",
    "it's\\",
    "=lr",
    "%self",
    "日本語",
]
printable = st.sampled_from(ODD) | st.text(min_size=1, max_size=20).filter(str.isprintable)
# What a process can be started with: no shell can pass on a null character.
texts = st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20
) | st.sampled_from(["two\nlines", "\x1b[31mred", "tab\t", "\\x41", "\udc80", "\u202eevil"])


commands: Any = typer.main.get_command(app)


def parsed(written: str) -> dict[str, Any]:
    """Return what the command line reads in a command, by the names of its parameters."""
    program, verb, *words = shlex.split(written)
    assert program == "ramet"
    return dict(commands.commands[verb].make_context(verb, words).params)


@given(store=printable, name=printable)
def test_a_command_is_read_as_it_was_meant(store: str, name: str) -> None:
    read = parsed(command("status", [store, name], ["--watch"]))
    assert (read["store"], read["name"], read["watch"]) == (store, name, True)
    read = parsed(command("stop", [store, name]))
    assert (read["store"], read["name"]) == (store, name)


@given(store=printable, name=printable, target=printable, arguments=st.lists(printable, max_size=3))
@example(store="runs.db", name="a", target="a.py", arguments=["--"])
def test_a_command_keeps_the_arguments_of_a_script(
    store: str, name: str, target: str, arguments: list[str]
) -> None:
    written = command("worker", [store, name, target], ["--space", "wide"], arguments)
    read = parsed(written)
    assert (read["store"], read["name"], read["target"]) == (store, name, target)
    assert (read["space"], list(read["arguments"] or ())) == ("wide", arguments)


def read_by(shell: str, words: list[str]) -> list[str]:
    """Return words as a shell reads them after they were quoted for it."""
    written = " ".join(map(shell_word, words))
    assert written.isprintable()
    line = ["env", "LC_ALL=C.UTF-8", shell, "-c", f"printf '%s\\0' {written}"]
    said = subprocess.run(line, capture_output=True, check=True).stdout
    return said.decode(errors="surrogateescape").split("\0")[:-1]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_reads_odd_words_as_they_were_meant(shell: str) -> None:
    program(shell)
    assert read_by(shell, ODD) == ODD


# What cannot be printed is written in a way that fish does not read.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("shell", "words"),
    [("bash", texts | printable), ("zsh", texts | printable), ("fish", printable)],
)
def test_a_shell_reads_any_word_as_it_was_meant(shell: str, words: st.SearchStrategy[str]) -> None:
    program(shell)

    @given(st.lists(words, min_size=1, max_size=20))
    def check(words: list[str]) -> None:
        assert read_by(shell, words) == words

    check()


@pytest.mark.parametrize("name", ["-b", "--json", "a b", "it's", "naïve 日本語", "two\nlines\x1b"])
def test_what_begin_prints_starts_a_worker(tmp_path: Path, name: str) -> None:
    store = tmp_path / "my runs.db"
    begun = ramet("begin", QUICK, "--store", store, "--name", name)
    _, _, written = begun.output.strip().rpartition(": ramet ")
    line = ["/bin/bash", "-c", f"printf '%s\\0' {written}"]
    said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    done = ramet(*said.split("\0")[:-1])
    assert (done.exit_code, "is done" in done.output) == (0, True), done.output


def test_a_store_that_is_damaged_names_the_command_to_look_at_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    library.run(quick.train, quick.space, quick.strategy, steps=40, mode="max", store="-my runs.db")
    for file in Path("-my runs.db-checkpoints").rglob("*.safetensors"):
        file.write_bytes(b"")
    refused = ramet("backup", "--", "-my runs.db", "copy.db")
    assert "`ramet doctor -- '-my runs.db'` lists all that is wrong" in refused.stderr
    assert ramet("doctor", "--", "-my runs.db").exit_code == 1


def test_a_hyperparameter_is_named_as_it_must_be_typed(tmp_path: Path) -> None:
    space = library.Space({"-lr[0]": library.LogUniform(1e-3, 1.0), "b": library.Constant(1)})
    store = tmp_path / "runs.db"

    def train(session: library.Session) -> None:
        for turn in session.turns({}):
            for _ in turn:
                pass
            turn.report(turn.hparams["-lr[0]"])

    library.run(train, space, quick.strategy, steps=40, mode="max", store=store, name="a")
    refused = ramet("plot", store, "a", "hyperparameter")
    _, _, words = refused.stderr.strip().rpartition("; add ")
    drawn = ramet(
        "plot", store, "a", "hyperparameter", *shlex.split(words), "-o", tmp_path / "a.svg"
    )
    assert drawn.exit_code == 0, drawn.output
