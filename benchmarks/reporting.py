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


def report(figures: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures), flush=True)
    else:
        print("  ".join(f"{name} {_shown(value)}" for name, value in figures.items()), flush=True)


def _shown(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
