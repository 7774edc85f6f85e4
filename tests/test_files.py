"""Files that a user names: which are replaced, which are written through, and what is refused."""

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ramet import files
from ramet.errors import UsageError

NEW = b"new"
NOBODY = 65534


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_has_the_usual_mode(tmp_path: Path) -> None:
    assert files.write(tmp_path / "a.html", NEW) == len(NEW)
    usual = tmp_path / "usual"
    usual.touch()
    assert (tmp_path / "a.html").read_bytes() == NEW
    assert mode_of(tmp_path / "a.html") == mode_of(usual)
    assert names_in(tmp_path) == ["a.html", "usual"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "private.html"
    path.write_text("old")
    path.chmod(mode)
    files.write(path, NEW)
    assert path.read_bytes() == NEW
    assert mode_of(path) == mode


@pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0, reason="only root may give files away"
)
def test_a_file_that_is_replaced_keeps_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "theirs.html"
    path.write_text("old")
    os.chown(path, NOBODY, NOBODY)
    path.chmod(0o6640)
    files.write(path, NEW)
    assert (path.stat().st_uid, path.stat().st_gid) == (NOBODY, NOBODY)
    assert mode_of(path) == 0o6640


def test_a_file_is_replaced_and_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text("old")
    with path.open() as still_open:
        files.write(path, NEW)
        assert still_open.read() == "old"


@pytest.mark.parametrize("text", ["real.html", "folder/../real.html"])
def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "real.html").write_text("old")
    (tmp_path / "link.html").symlink_to(text)
    (tmp_path / "link to link").symlink_to(tmp_path / "link.html")
    files.write(tmp_path / "link to link", NEW)
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "link to link").is_symlink()
    assert not (tmp_path / "real.html").is_symlink()
    assert (tmp_path / "real.html").read_bytes() == NEW


def test_a_link_that_leads_to_nothing_has_its_file_made(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.html").symlink_to("folder/real.html")
    files.write(tmp_path / "link.html", NEW)
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "folder" / "real.html").read_bytes() == NEW


def test_a_pipe_is_written_through(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    reader.start()
    files.write(pipe, NEW)
    reader.join(60)
    assert got == [NEW]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_is_written_through_also_by_a_link(tmp_path: Path) -> None:
    # A terminal of its own: what is there to be destroyed is only this test's.
    keyboard, terminal = os.openpty()
    (tmp_path / "link").symlink_to(os.ttyname(terminal))
    files.write(os.ttyname(terminal), b"one ")
    files.write(tmp_path / "link", b"two\n")
    got = b""
    while not got.endswith(b"\n"):
        got += os.read(keyboard, 100)
    assert got.split() == [b"one", b"two"]
    assert os.isatty(terminal)
    os.close(keyboard)
    os.close(terminal)


PRINTS = """
import sys
from pathlib import Path
from ramet import files
print("before")
files.write(sys.argv[1], b"new\\n")
print("after")
"""


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "link"])
def test_standard_output_is_written_where_it_stands(tmp_path: Path, path: str) -> None:
    (tmp_path / "link").symlink_to("/dev/stdout")
    command = [sys.executable, "-c", PRINTS, path]
    log = tmp_path / "log"
    log.write_text("earlier\n")
    with log.open("a") as appended:
        subprocess.run(command, cwd=tmp_path, stdout=appended, check=True)
    assert log.read_text() == "earlier\nbefore\nnew\nafter\n"
    piped = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, check=True)
    assert piped.stdout == b"before\nnew\nafter\n"
    assert names_in(tmp_path) == ["link", "log"]


def test_a_file_that_is_a_mount_point_is_written_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_paths: str) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    path = tmp_path / "a.html"
    path.write_text("old and longer")
    monkeypatch.setattr(os, "replace", busy)
    with path.open("rb") as still_open:
        files.write(path, NEW)
        assert still_open.read() == path.read_bytes() == NEW
    assert names_in(tmp_path) == ["a.html"]
    with pytest.raises(UsageError, match="busy"):
        files.write(tmp_path / "b.html", NEW)


@pytest.mark.parametrize("path", ["/dev/fd/{}", "pipe"])
def test_a_pipe_that_is_read_no_more_is_no_fault_of_the_path(tmp_path: Path, path: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    (tmp_path / "pipe").symlink_to(f"/dev/fd/{writing}")
    with pytest.raises(BrokenPipeError):
        files.write(tmp_path / path.format(writing), NEW)
    os.close(writing)


def test_a_name_may_be_as_long_as_names_can_be(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 250 + ".html")
    files.write(path, NEW)
    assert path.read_bytes() == NEW


@pytest.mark.parametrize("path", [".", "folder", "link to folder", "folder/"])
def test_a_folder_is_refused_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link to folder").symlink_to("folder")
    with pytest.raises(UsageError, match="it is a folder; name a file in it"):
        files.write(path, NEW)
    assert names_in(tmp_path) == ["folder", "link to folder"]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "nowhere/a.html",
        "a\0b.html",
        "\ud800.html",
        "x" * 300,
        "file/a.html",
        "loop",
        "/dev/fd/999",
    ],
)
def test_a_path_that_cannot_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UsageError, match="a file must be where one can be written, but"):
        files.write(path, NEW)
    assert names_in(tmp_path) == ["file", "loop"]
