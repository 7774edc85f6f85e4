"""Where Unix is missing, tests are skipped by what they need, and the others run."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Each has a framework that takes long to import.
LEFT_OUT = {"torch", "jax", "integrations", "ray"}

# ramet itself and the libraries are imported before, because they ask sys.platform.
COLLECTS = """
import importlib, multiprocessing.connection, os, pkgutil, signal, sys
import pytest
import ramet

class Elsewhere:
    def pytest_collection(self):
        for found in pkgutil.walk_packages(ramet.__path__, "ramet."):
            if not {*found.name.split(".")} & {"torch", "jax", "integrations", "ray", "__main__"}:
                importlib.import_module(found.name)
        for name in ("fcntl", "grp", "pty", "pwd", "resource", "termios", "tty"):
            sys.modules[name] = None
        for name in ("ALRM", "CONT", "HUP", "KILL", "QUIT", "STOP", "TSTP", "USR1", "USR2"):
            delattr(signal, "SIG" + name)
        for name in ("chown", "fork", "geteuid", "getuid", "killpg", "mkfifo", "setsid"):
            delattr(os, name)

options = ["--collect-only", "-q", "-n0", "-p", "no:cacheprovider"]
sys.exit(pytest.main([*options, *sys.argv[1:]], plugins=[Elsewhere()]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="takes away what only Unix has")
def test_all_tests_are_collected_where_there_is_no_unix() -> None:
    tests = [
        path
        for path in sorted((ROOT / "tests").iterdir())
        if path.name not in LEFT_OUT and (path.is_dir() or path.name.startswith("test_"))
    ]
    done = subprocess.run(
        [sys.executable, "-c", COLLECTS, *tests],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
