"""Python processes of the tests' own, which begin with what they need imported."""

import os
from collections.abc import Callable
from multiprocessing import get_context

# Forked off a process without threads, which imports for all: that takes most of a process's time.
context = get_context("forkserver" if hasattr(os, "fork") else "spawn")
if hasattr(os, "fork"):
    context.set_forkserver_preload(["tests.engine.test_rounds", "tests.store.test_sqlite_store"])


def in_another_process(function: Callable[..., object], *arguments: object) -> int | None:
    """Call a function of a module in another process; return the exit code."""
    process = context.Process(target=function, args=arguments)
    process.start()
    process.join()
    return process.exitcode
