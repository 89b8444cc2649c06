"""Programs end with whoever started them."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from alula import processes

HANG = (
    "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(99)'])"
)
"""A program that hangs in one of its own."""


def running(mark: str) -> list[int]:
    """The processes, but for zombies, that have a word in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            status = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if mark.encode() in (folder / "environ").read_bytes() and status != "Z":
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def wait_until(true: Callable[[], bool], limit_s: float) -> None:
    end = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def mark(request: pytest.FixtureRequest) -> str:
    return f"ALULA_TEST={os.getpid()}-{request.node.name}"


def marked(mark: str) -> dict[str, str]:
    name, _, value = mark.partition("=")
    return {**os.environ, name: value}


def test_a_program(tmp_path: Path) -> None:
    program = "import os, sys; print(os.getcwd(), sys.stdin.read()); print('é', file=sys.stderr)"
    words = [sys.executable, "-X", "utf8", "-c", program]
    done = processes.run(words, cwd=tmp_path, stdin="in", errors_apart=True)
    assert (done.code, done.output, done.errors) == (0, f"{tmp_path} in\n", "é\n")
    heard: list[str] = []
    done = processes.run(words, cwd=tmp_path, stdin="in", heard=heard.append)
    assert sorted(heard) == sorted(done.output.splitlines()) == sorted([f"{tmp_path} in", "é"])
    assert processes.run([sys.executable, "-c", "raise SystemExit(3)"]).code == 3
    with pytest.raises(FileNotFoundError):
        processes.run(["/no/such/program"])


def test_a_limit_ends_the_whole_group(mark: str) -> None:
    done = processes.run([sys.executable, "-c", HANG], env=marked(mark), limit_s=0.5)
    assert done.late
    assert done.code == -signal.SIGTERM
    wait_until(lambda: not running(mark), 2)


def test_what_does_not_heed_is_killed(mark: str) -> None:
    program = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(99)"
    done = processes.run([sys.executable, "-c", program], env=marked(mark), limit_s=0.5)
    assert (done.late, done.code) == (True, -signal.SIGKILL)


def test_results_come_in_order() -> None:
    assert list(processes.in_threads(lambda x: x * x, range(9), 3)) == [x * x for x in range(9)]


def test_the_first_error_ends_the_others(mark: str) -> None:
    started = threading.Event()

    def job(number: int) -> None:
        if number == 1:
            wait_until(lambda: len(running(mark)) == 2, 20)
            raise ValueError("no")
        started.set()
        processes.run([sys.executable, "-c", HANG], env=marked(mark))

    with pytest.raises(ValueError, match="no"):
        for _ in processes.in_threads(job, [1, 0, 0, 0], 2):
            pass
    assert started.is_set()
    wait_until(lambda: not running(mark), 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_end_everything(mark: str, number: signal.Signals) -> None:
    """Threads that run programs that run programs: all gone within five seconds."""
    program = f"""
import os, sys
from alula import processes
job = lambda _: processes.run([sys.executable, "-c", {HANG!r}])
print("ready", flush=True)
for _ in processes.in_threads(job, range(5), 2): pass
"""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=marked(mark),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        # The process itself, its warden, two programs and what they have started.
        wait_until(lambda: len(running(mark)) == 6, 30)
        process.send_signal(number)
        begun = time.monotonic()
        wait_until(lambda: not running(mark), 5)
        process.wait(5)
        assert time.monotonic() - begun < 5
