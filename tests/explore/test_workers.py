"""Workers: every item has a result or a reason, and none of them is left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.house.test_processes import HANG, marked, running, wait_until

from alula.explore.workers import Lost, Workers


def job(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 3:
        os._exit(5)
    return number * number


def test_a_process_that_ends_takes_only_its_item() -> None:
    with Workers(2) as workers:
        found = dict(workers.map(job, range(7)))
        assert dict(workers.map(job, [4, 5])) == {0: 16, 1: 25}
        assert list(workers.map(job, [])) == []
    assert found == {
        **{number: number * number for number in (0, 1, 4, 5, 6)},
        2: Lost("its process was killed, as for lack of memory"),
        3: Lost("its process ended with 5"),
    }


class Terminated:
    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)


def end_in_a_finalizer(number: int) -> None:
    del [Terminated()][0]


def test_a_worker_that_is_terminated_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with Workers(1) as workers:
        assert dict(workers.map(end_in_a_finalizer, [0])) == {0: None}
    assert capfd.readouterr() == ("", "")


PROGRAM = f"""
import signal, sys
from alula import processes
from alula.explore.workers import Workers

def hang(number):
    try:
        processes.run([sys.executable, "-c", {HANG!r}])
    finally:
        open(f"cleaned-{{number}}", "w").close()

if __name__ == "__main__":
    # A shell that starts this in the background has the signal ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Workers(2) as workers:
            for _ in workers.map(hang, range(5)): pass
    except KeyboardInterrupt:
        sys.exit(2)
"""


@pytest.mark.parametrize(
    ("number", "group"),
    [(signal.SIGINT, False), (signal.SIGINT, True), (signal.SIGKILL, False)],
    ids=str,
)
def test_signals_end_everything(tmp_path: Path, number: signal.Signals, group: bool) -> None:
    """Of the terminal's whole group, or of the first process alone."""
    mark = f"ALULA_TEST={os.getpid()}-{number}-{group}"
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, file],
        cwd=tmp_path,
        env=marked(mark),
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        # Itself, a tracker of multiprocessing, two workers, with a warden and two programs each.
        wait_until(lambda: len(running(mark)) == 10, 60)
        os.killpg(process.pid, number) if group else process.send_signal(number)
        wait_until(lambda: not running(mark), 5)
        out, errors = process.communicate(timeout=5)
    assert (out, errors) == ("", "")
    assert len(list(tmp_path.glob("cleaned-*"))) == 2
    assert process.returncode == (2 if number == signal.SIGINT else -number)
