"""How every benchmark reports: a sentence for people or, with --json, one JSON object a line."""

import argparse
import json
from typing import Any


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--json", action="store_true", help="print JSON lines and nothing else")
    return made


def require_turns(
    options: argparse.ArgumentParser, turns: int, *, members: int, name: str = "--turns"
) -> None:
    """End with an error if there is not a turn for each member, and two in all to time.

    Args:
        options: The parser of the benchmark.
        turns: The turns of the whole population.
        members: The members.
        name: The option that says how many turns there are.
    """
    if turns < max(members, 2):
        options.error(
            f"{name} counts the turns of the whole population, so it must be at least "
            f"{max(members, 2):,} for {members:,} members, but got {turns:,}"
        )


def report(figures: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures), flush=True)
    else:
        print("  ".join(f"{name} {_shown(value)}" for name, value in figures.items()), flush=True)


def _shown(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
