"""What is wrong with a store in a file."""

from ramet.history.doctor import log_findings
from ramet.store import SQLiteStore


def wrong_with(store: SQLiteStore) -> list[str]:
    """Return what the doctor says of the file and the log of each run."""
    found = [finding for name in store.runs() for finding in log_findings(store, name)]
    return [*store.check(), *(finding.what for finding in found)]
