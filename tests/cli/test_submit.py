"""`ramet submit`, with jobs of this machine and with programs that look like Slurm's."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.victims import children
from ramet.cli import submit
from ramet.cli.submitted import WorkerJob
from ramet.cli.view import View
from ramet.errors import StoreUnreachable
from tests.cli.shell import QUICK, ended, figures, ramet, started, trains, until
from tests.frameworks import framework
from tests.postgres import PASSWORD, server

pytestmark = pytest.mark.slow


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A store with a run that is not trained yet."""
    store = tmp_path / "runs.db"
    assert ramet("begin", QUICK, "--store", store, "--steps", 100, "--seed", 0).exit_code == 0
    return store


@pytest.fixture(autouse=True)
def submitit() -> None:
    framework("submitit", "slurm")


def submitted(store: Path, *more: object, pause_s: float = 0.0) -> object:
    """Start the command with workers on this machine."""
    folder = store.parent / "jobs"
    command = ("submit", store, "quick", QUICK, "--local", "--folder", folder, *more)
    return started(*command, pause_s=pause_s, cwd=store.parent)


def logs(store: Path) -> str:
    return "".join(path.read_text() for path in (store.parent / "jobs").glob("*log.*"))


def test_workers_are_followed_until_the_run_is_over_and_sent_again_if_they_are_preempted(
    begun: Path,
) -> None:
    process = submitted(begun, "--workers", 2, "--grace", 30, pause_s=0.2)
    until(lambda: figures(begun)["workers"] == 2)
    # As Slurm does, to the process of the job.
    controller = children(process.pid)[0]
    (job,) = children(controller)
    environment = Path(f"/proc/{controller}/environ").read_bytes()
    os.kill(job, signal.SIGUSR2)
    until(lambda: "Requeued job" in logs(begun))
    code, out, err = ended(process)
    assert (code, err) == (0, "")
    sent, over = out.splitlines()
    assert sent.startswith("Sent 2 workers: ")
    assert over.startswith("Run 'quick' is done: 5 members, 50 turns, ")
    assert "this worker left run 'quick'" in logs(begun)
    assert b"SUBMITIT_LOCAL_SIGNAL_DELAY_S=50\0" in environment
    # Each once, and one of them once more.
    assert logs(begun).count("Loading pickle") == 3


def test_ctrl_c_ends_jobs_of_this_machine_and_loses_nothing(begun: Path) -> None:
    process = submitted(begun, pause_s=0.1)
    until(lambda: trains(begun))
    process.send_signal(signal.SIGINT)
    code, _, err = ended(process)
    assert code == 130
    assert "the workers were asked to leave" in err
    until(lambda: figures(begun)["workers"] == 0)


def test_a_job_that_is_cancelled_lets_its_worker_end_its_turn(begun: Path) -> None:
    process = submitted(begun, pause_s=0.2)
    until(lambda: trains(begun))
    (job,) = children(children(process.pid)[0])
    os.kill(job, signal.SIGTERM)
    code, _, err = ended(process)
    assert (code, "ramet: this worker left run 'quick'" in err) == (1, True)
    assert figures(begun)["workers"] == 0


def test_a_run_with_any_name_can_be_sent(tmp_path: Path) -> None:
    store, folder = tmp_path / "runs.db", tmp_path / "jobs"
    assert ramet("begin", QUICK, "--store", store, "--name=-b c").exit_code == 0
    words = ("--local", "--folder", folder, "--", store, "-b c", QUICK, "--own", "x")
    done = ramet("submit", *words)
    assert (done.exit_code, "Run '-b c' is done" in done.output) == (0, True), done.output


def test_workers_that_all_end_early_are_reported_with_what_they_said(begun: Path) -> None:
    missing = begun.parent / "missing.py"
    process = started(
        "submit", begun, "quick", missing, "--local", "--folder", begun.parent / "jobs"
    )
    code, _, err = ended(process)
    assert code == 1
    assert "all have ended and run 'quick' is not over" in err
    assert f"{missing} does not" in err


class Sender:
    """What submits jobs that have ended at once, with a log."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.parameters: dict[str, object] = {}

    def update_parameters(self, **_: object) -> None:
        pass

    def submit_array(self, jobs: list[Any]) -> list[Any]:
        job = SimpleNamespace(
            job_id="7", state="FAILED", paths=SimpleNamespace(stderr=self.log), done=lambda: True
        )
        return [job] * len(jobs)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The log of jobs that have ended at once."""
    path = tmp_path / "job.log"
    monkeypatch.setattr(submit, "_make_executor", lambda *_, **__: Sender(path))
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ramet: the first\nof all\nramet: the last\nTraceback\n", "ramet: the last"),
        ("Killed\nby hand\n", "by hand"),
        ("", "nothing"),
    ],
)
def test_a_job_that_was_sent_again_is_reported_with_what_it_said_last(
    begun: Path, log: Path, text: str, said: str
) -> None:
    log.write_text(text)
    failed = ramet("submit", begun, "quick", QUICK, "--local")
    assert (failed.exit_code, f"says: {said}\n" in failed.stderr) == (1, True)


@pytest.mark.usefixtures("log")
def test_a_store_that_is_away_says_that_the_workers_go_on(
    begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: View) -> None:
        raise StoreUnreachable("the server is away")

    monkeypatch.setattr(View, "catch_up", fail)
    failed = ramet("submit", begun, "quick", QUICK, "--local")
    assert failed.exit_code == 75
    assert "the server is away. The workers go on without this command" in failed.stderr


def test_a_signal_while_the_worker_starts_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    popen = subprocess.Popen

    def start(*_: object, **__: object) -> object:
        os.kill(os.getpid(), signal.SIGTERM)
        return popen([sys.executable, "-c", "import time; time.sleep(5.0)"])

    monkeypatch.setattr("ramet.cli.submitted.subprocess.Popen", start)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(RuntimeError, match="exit code -15"):
            WorkerJob([])()
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(("minutes", "grace"), [(1, 40), (1, 60), (10, 65_000)])
def test_a_job_that_is_over_before_its_worker_could_leave_is_refused(
    begun: Path, minutes: int, grace: int
) -> None:
    command = ["submit", begun, "quick", QUICK, "--local", "--minutes", minutes]
    refused = ramet(*command, "--grace", grace)
    assert (refused.exit_code, "raise --minutes, or lower --grace" in refused.stderr) == (2, True)


def test_a_store_that_other_machines_cannot_share_is_refused(begun: Path) -> None:
    refused = ramet("submit", begun, "quick", QUICK)
    assert refused.exit_code == 2
    assert f"{begun} is a file, which SQLite can share only within one machine" in refused.stderr


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    for url in ("postgresql://ann:s3cret@db/runs", "postgresql://ann@db/runs?password=s3cret"):
        refused = ramet("submit", url, "quick", QUICK)
        assert refused.exit_code == 2
        assert "~/.pgpass or PGPASSWORD" in refused.stderr
        assert "s3cret" not in refused.output


def test_what_is_missing_is_named(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = ramet("submit", begun, "other", QUICK, "--local")
    assert (unknown.exit_code, "'other' is not" in unknown.stderr) == (1, True)
    odd = ramet("submit", begun, "quick", QUICK, "--local", "--sbatch", "gpu")
    assert (odd.exit_code, "as in partition=gpu, but got 'gpu'" in odd.stderr) == (2, True)
    monkeypatch.setitem(sys.modules, "submitit", None)
    absent = ramet("submit", begun, "quick", QUICK, "--local")
    assert (absent.exit_code, "pip install 'ramet[slurm]'" in absent.stderr) == (2, True)


def test_handlers_of_logging_that_others_have_set_stay_open() -> None:
    done = subprocess.run([sys.executable, "-c", KEEPS], capture_output=True, text=True, check=True)
    assert done.stdout == "open\nNone\n"


KEEPS = """
import logging, os
class Closed(logging.Handler):
    state = "open"
    def close(self):
        self.state = "closed"
handler = Closed()
from ramet.cli import submit
submit._import_submitit()
print(handler.state)
print(os.environ.get(submit.LOG_LEVEL))
"""


# Programs of Slurm, as far as submitit uses them: jobs end as soon as they are sent.
SLURM = {
    "sbatch": 'cp "$1" "$SENT"; echo "Submitted batch job 7"',
    "srun": "exit 1",
    "sacct": "printf 'JobID|State|NodeList\\n7_[0-299]|FAILED|node1\\n'",
    "scancel": "exit 0",
}


def test_slurm_gets_what_the_options_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    framework("psycopg", "postgres")
    monkeypatch.chdir(tmp_path)
    with server() as postgres:
        url = f"postgresql://tests@127.0.0.1:{postgres.port}/postgres?blobs={tmp_path}/kept"
        monkeypatch.setenv("PGPASSWORD", PASSWORD)
        assert ramet("begin", QUICK, "--store", url).exit_code == 0
        monkeypatch.setenv("PATH", "/nowhere")
        refused = ramet("submit", url, "quick", QUICK)
        assert (refused.exit_code, "there is no sbatch here" in refused.stderr) == (2, True)
        for name, script in SLURM.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        monkeypatch.setenv("SENT", str(tmp_path / "sent.sh"))
        command = ["submit", url, "quick", QUICK, "--workers", 3, "--minutes", 90, "--gpus", 1]
        done = ramet(*command, "--sbatch", "partition=gpu", "--grace", 100)
        first = (tmp_path / "sent.sh").read_text()
        many = ramet("submit", url, "quick", QUICK, "--workers", 300)
    assert done.exit_code == 1
    assert "Sent 300 workers: 7_0 to 7_299" in many.stdout
    assert "Sent 3 workers: 7_0, 7_1, 7_2" in done.stdout
    assert f"{tmp_path}/kept: all machines must reach that folder" in done.stdout
    assert "job 7_0, is FAILED" in done.stderr
    assert "gpus" not in (tmp_path / "sent.sh").read_text()
    assert "#SBATCH --array=0-299%300\n" in (tmp_path / "sent.sh").read_text()
    for line in ("array=0-2%3", "time=90", "gpus-per-node=1", "partition=gpu", "signal=USR2@120"):
        assert f"#SBATCH --{line}\n" in first
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert PASSWORD.encode() not in written
