"""What every test of PyTorch's room begins with."""

import pytest

from ramet import warned


@pytest.fixture(autouse=True)
def nothing_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warned, "SAID", set())
