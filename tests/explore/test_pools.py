"""Many machines: the same answers, and a worker that dies loses nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.house.test_processes import marked, running, wait_until

from alula.explore import sweep
from alula.explore.pools import PoolError, opened
from alula.explore.workers import Lost

pytestmark = pytest.mark.slow


def slowly(number: int) -> int:
    time.sleep(0.05)
    return number * number


def deadly(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@contextmanager
def cluster(folder: Path, workers: int, *words: str) -> Iterator[tuple[str, list[int]]]:
    """A scheduler of this machine and workers, each a process; their numbers are given too."""
    file, mark = folder / "scheduler.json", f"ALULA_TEST={os.getpid()}-{folder.name}"
    environment = marked(mark) | {"PYTHONPATH": os.pathsep.join(sys.path)}
    environment |= {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "2"}
    environment |= {"DASK_DISTRIBUTED__WORKER__USE_FILE_LOCKING": "false"}
    python = [sys.executable, "-m", "dask"]
    started: list[subprocess.Popen[bytes]] = []

    def start(*more: str) -> None:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started.append(
            subprocess.Popen([*python, *more], env=environment, start_new_session=True, **quiet)
        )

    try:
        address = "tcp://127.0.0.1:0"
        start("scheduler", "--host", address, "--no-dashboard", "--scheduler-file", str(file))
        wait_until(file.exists, 60)
        for _ in range(workers):
            start(
                "worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-dashboard", *words
            )
        import json

        yield json.loads(file.read_text())["address"], [one.pid for one in started[1:]]
    finally:
        for one in started:
            os.killpg(one.pid, signal.SIGKILL)
            one.wait()
        wait_until(lambda: not running(mark), 10)


def test_a_worker_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    """One of two, without a nanny, in the middle: the other one takes its items."""
    with cluster(tmp_path, 2, "--no-nanny") as (address, workers), opened(0, address) as pool:
        found: dict[int, object] = {}
        for number, result in pool.map(slowly, range(120)):
            found[number] = result
            if len(found) == 30:
                os.kill(workers[0], signal.SIGKILL)
    assert found == {number: number * number for number in range(120)}


def test_an_item_that_kills_its_workers_is_lost_alone(tmp_path: Path) -> None:
    with cluster(tmp_path, 2) as (address, _), opened(0, address) as pool:
        found = dict(pool.map(deadly, range(6)))
    assert found.pop(3) == Lost("its workers were killed, one after the other")
    assert found == {number: number for number in (0, 1, 2, 4, 5)}


def test_a_sweep_whose_worker_is_killed_has_the_same_front(small_sweep, tmp_path: Path) -> None:
    asked = small_sweep(
        search="all",
        axes={"sfu.lanes": [2, 4], "buffers.stream_kib": list(range(8, 33)), "clock_mhz": [40, 80]},
    )
    here = sweep(asked, processes=0)
    with cluster(tmp_path, 2, "--no-nanny") as (address, workers):
        killed = False

        def kill(stage: str, done: int, total: int) -> None:
            nonlocal killed
            if stage == "points" and done > total / 4 and not killed:
                os.kill(workers[0], signal.SIGKILL)
                killed = True

        there = sweep(asked, scheduler=address, store=tmp_path / "rows", progress=kill)
    assert killed
    assert there.rows == here.rows
    assert there.best == here.best


def test_nobody_answers() -> None:
    with pytest.raises(PoolError, match=r"^--scheduler must be the address of a Dask scheduler"):
        opened(0, "tcp://127.0.0.1:1").__enter__()
