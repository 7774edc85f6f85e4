"""Processes that tests control."""


class FakeProcesses:
    """One process after another, each of which exists until the test lets it die."""

    def __init__(self) -> None:
        self._number = 1
        self._gone: set[str] = set()

    def this(self) -> str:
        """Return the name of the present process."""
        return f"process {self._number}"

    def is_gone(self, name: str | None) -> bool:
        """Say whether the process ``name`` has died."""
        return name in self._gone

    def switch(self) -> None:
        """Become another process, while the present one keeps running."""
        self._number += 1

    def die(self) -> None:
        """Become another process, because the present one dies."""
        self._gone.add(self.this())
        self.switch()
