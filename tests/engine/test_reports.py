"""The errors of workers, whatever the user's own exceptions do."""

from typing import Any

import pytest

from ramet.engine.processes.reports import Report, raise_report
from ramet.errors import RunFailed, UsageError
from ramet.frames import MOST_OF_TRACEBACK


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise LookupError("no words")


class Annotated(Exception):
    __notes__: Any = 5


def report_of(error: BaseException) -> Report:
    with pytest.raises(type(error)) as caught:
        raise error
    return Report.of(caught.value)


def test_an_error_that_cannot_say_what_it_is_still_ends_the_run() -> None:
    with pytest.raises(RunFailed, match="ended with Unspeakable: <exception str") as raised:
        raise_report(report_of(Unspeakable(1)))
    assert __file__ in raised.value.traceback


def test_notes_that_are_none_are_left_out() -> None:
    assert report_of(Annotated()).notes == ()
    error = UsageError("wrong")
    error.add_note("It was raised at train.py:3")
    with pytest.raises(UsageError, match="wrong") as raised:
        raise_report(report_of(error))
    assert raised.value.__notes__ == ["It was raised at train.py:3"]


def test_an_error_that_quotes_an_array_is_kept_short() -> None:
    report = report_of(ValueError("begins " + "x" * 10_000_000 + " ends"))
    assert len(report.message) < 11_000
    assert report.message.endswith(" ends")
    assert len(report.traceback) < MOST_OF_TRACEBACK + 100
    assert report.traceback.startswith("Traceback")
