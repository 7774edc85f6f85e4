"""Tests that send signals do so to processes that take them."""

import subprocess
import sys

import pytest

from tests.signals import DISPOSITIONS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")

IGNORED = f"""\
import signal
for name in {list(DISPOSITIONS)}:
    if signal.getsignal(getattr(signal, name)) is signal.SIG_IGN:
        print(name)
"""

# As a shell does for what it runs in the background, or nohup for what must not hang up.
IGNORING = f"""\
import os, signal, sys
for name in {[*DISPOSITIONS, "SIGHUP"]}:
    signal.signal(getattr(signal, name), signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_what_a_test_starts_ignores_no_signal_that_tests_send() -> None:
    said = subprocess.run(
        [sys.executable, "-c", IGNORED],
        check=True,
        capture_output=True,
        text=True,
    )
    assert said.stdout.split() == []


@pytest.mark.slow
def test_it_ignores_none_where_the_tests_were_started_to_ignore_them() -> None:
    again = f"{__file__}::{test_what_a_test_starts_ignores_no_signal_that_tests_send.__name__}"
    subprocess.run(
        [sys.executable, "-c", IGNORING, "-m", "pytest", "-q", again],
        check=True,
        capture_output=True,
        text=True,
    )
