"""Progress on standard error: a bar where a person watches, lines now and then elsewhere."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alula.progress import Progress

_PAUSE_S = 10
"""Seconds before the first line: short work says nothing. Later they are further apart."""


@contextmanager
def progress_bar(*, lines: bool = False) -> Iterator[Progress]:
    """Give a `Progress` that draws one line with bar, share and time left, and leaves nothing.

    Where standard error is no terminal it prints a line after ten seconds, and then less and less
    often, up to every minute; with `lines` one as each stage begins too. ALULA_PROGRESS may be
    "lines", for the same, or "off".
    """
    wanted = os.environ.get("ALULA_PROGRESS")
    if wanted == "off":
        from alula.progress import silent

        yield silent
    elif sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        with _lines(stages=lines or wanted == "lines") as show:
            yield show


@contextmanager
def _bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def show(stage: str, done: int, total: int) -> None:
            bar.update(task, description=stage, completed=done, total=total)

        yield show


@contextmanager
def _lines(stages: bool) -> Iterator[Progress]:
    """Print how far work is now and then, also where it says nothing for long."""
    estimate, over = _Estimate(), threading.Event()

    def tell() -> None:
        print(f"alula: {estimate.line()}", file=sys.stderr, flush=True)

    def show(stage: str, done: int, total: int) -> None:
        if estimate.take(stage, done, total) and stages:
            tell()

    def now_and_then() -> None:
        pause = _PAUSE_S
        while not over.wait(pause):
            tell()
            pause = min(1.2 * pause, 6 * _PAUSE_S)

    thread = threading.Thread(target=now_and_then, daemon=True)
    thread.start()
    try:
        yield show
    finally:
        over.set()
        thread.join()


class _Estimate:
    """How far a stage is, and how long it may still take."""

    def __init__(self) -> None:
        self._now = ("starting", 0, 0)
        self._first = 0
        self._began = time.monotonic()

    def take(self, stage: str, done: int, total: int) -> bool:
        """Take news, and return whether they are of another stage.

        What follows a comma says how far a stage is, such as "decode, cycle 5".
        """
        fresh = stage.partition(",")[0] != self._now[0].partition(",")[0]
        if fresh:
            self._first, self._began = done, time.monotonic()
        self._now = (stage, done, total)
        return fresh

    def line(self) -> str:
        """Return the stage, its share, and the time left if something of it is done."""
        stage, done, total = self._now
        elapsed = time.monotonic() - self._began
        words = [f"{stage} {100 * done // total}%" if total else stage]
        if self._first < done < total:
            left = elapsed * (total - done) / (done - self._first)
            words.append(f"about {_duration(left)} left")
        elif elapsed >= 1:
            words.append(f"for {_duration(elapsed)}")
        return ", ".join(words)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
