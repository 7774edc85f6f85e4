"""Processes that tests end."""


class FakeProcesses:
    """Takes itself for one process after another; those before it are there until they die."""

    def __init__(self) -> None:
        self._number = 1
        self._gone: set[str] = set()

    def this(self) -> str:
        return f"process {self._number}"

    def is_gone(self, name: str | None) -> bool:
        return name in self._gone

    def switch(self) -> None:
        """Go on as another process, while the one so far stays there."""
        self._number += 1

    def die(self) -> None:
        """Go on as another process, because the one so far is no more."""
        self._gone.add(self.this())
        self.switch()
