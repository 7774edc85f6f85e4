"""Something that is done once, by the first thread that asks for it."""

import threading
from collections.abc import Callable


class Once:
    """Calls functions at the first call of its own, and lets further calls wait for that one.

    >>> once = Once(lambda: print("done"))
    >>> once(); once()
    done
    """

    def __init__(self, *functions: Callable[[], object]) -> None:
        self._functions = functions
        self._lock = threading.Lock()

    def __call__(self) -> None:
        """Call the functions, unless that was done."""
        with self._lock:
            functions, self._functions = self._functions, ()
            for function in functions:
                function()
