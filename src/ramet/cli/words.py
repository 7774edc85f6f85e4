"""Words of a command line that may be left out: the store, and the name of the only run."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ramet.places import existing
from ramet.store.postgres.address import find_address

# The store that `ramet run` writes to by default.
DEFAULT_STORE = "runs.db"
# By these a file is known to be a store: the end of its name, or its first bytes.
SUFFIXES = frozenset({".db", ".sqlite", ".sqlite3"})
MAGIC = b"SQLite format 3\0"


def add_left_out(parameters: Sequence[Any], args: Sequence[str]) -> list[str]:
    """Return a command line with the words that the user has left out.

    The default store is put in front if the first word is not a store. Commands that take a script
    are given the name of the run if the store has only one.

    Args:
        parameters: Those of the command.
        args: The words behind the name of the command.
    """
    slots = [its for its in parameters if its.param_type_name == "argument"]
    end = args.index("--") if "--" in args else len(args)
    if not slots or slots[0].name != "store" or "--help" in args[:end]:
        return list(args)
    options, words = _part(parameters, args[:end])
    rest, behind = [its.name for its in slots[1:]], list(args[end + 1 :])
    # Behind "--" are the arguments of the script, or names that begin with a dash.
    all_behind = end < len(args) and not (words and "arguments" in rest)
    named = [*words, *behind] if all_behind else list(words)
    trains = "target" in rest and "name" in rest
    if not _has_store(named, slots):
        named = [DEFAULT_STORE, *named]
    if trains and len(named) == rest.index("target") + 1:
        named.insert(1, existing(named[0]).choose(None))
    return [*options, "--", *named] if all_behind else [*options, *named, *args[end:]]


def let_be_left_out(parameters: Sequence[Any]) -> None:
    """Mark what ``add_left_out`` adds as optional, for the help.

    Args:
        parameters: Those of the command.
    """
    names = [its.name for its in parameters]
    for its in parameters:
        if its.name == "store" or (its.name == "name" and "target" in names):
            its.required = False


def is_store(word: str) -> bool:
    """Return whether a word can only be a store: the URL of a database, or a file of SQLite.

    >>> is_store("postgresql://ada@db.example/runs"), is_store("lab.db"), is_store("climb.py")
    (True, True, False)
    """
    if find_address(word) is not None or "://" in word or Path(word).suffix in SUFFIXES:
        return True
    try:
        if not Path(word).is_file():
            return False  # A pipe would be waited for.
        with Path(word).open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except (OSError, ValueError):
        return False


def _has_store(words: Sequence[str], slots: Sequence[Any]) -> bool:
    """Say whether the first word is the store, given the slots of all words."""
    if not words:
        return False
    others = [its for its in slots[1:] if its.name != "arguments"]
    if len(words) <= sum(its.required for its in others):
        # The target of `ramet backup` is a file of that kind.
        return slots[1].name != "target" and is_store(words[0])
    if all(its.nargs == 1 for its in others) and len(words) > len(others):
        return True
    # Any other file may be a store that is damaged, and its error should name it.
    return is_store(words[0]) or Path(words[0]).is_file() or not Path(DEFAULT_STORE).exists()


def _part(parameters: Sequence[Any], args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the options, with their values, and the words of a command line."""
    with_value = {
        flag
        for its in parameters
        if its.param_type_name == "option" and not (its.is_flag or its.count)
        for flag in its.opts
    }
    options: list[str] = []
    words: list[str] = []
    rest: Iterator[str] = iter(args)
    for word in rest:
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        options.append(word)
        if word in with_value and (value := next(rest, None)) is not None:
            options.append(value)
    return options, words
