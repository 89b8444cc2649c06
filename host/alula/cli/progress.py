"""Progress on standard error: a bar where a person watches, lines where that is asked for."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alula.runtime.progress import Progress

_PAUSE_S = 10


@contextmanager
def progress_bar(*, lines: bool = False) -> Iterator[Progress]:
    """Give a `Progress` that draws one line with bar, share and time left, and leaves nothing.

    Where standard error is no terminal it says nothing, or with `lines`, or if ALULA_PROGRESS is
    "lines", a line for each stage and then every ten seconds.
    """
    if not sys.stderr.isatty():
        from alula.runtime.progress import silent

        yield _lines() if lines or os.environ.get("ALULA_PROGRESS") == "lines" else silent
        return
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


def _lines() -> Progress:
    """Give a `Progress` that prints lines."""
    last, told = "", 0.0

    def show(stage: str, done: int, total: int) -> None:
        nonlocal last, told
        kind, now = stage.partition(",")[0], time.monotonic()
        if kind != last or now - told > _PAUSE_S:
            share = f" {done * 100 // total}%" if total else ""
            print(f"alula: {stage}{share}", file=sys.stderr, flush=True)
            last, told = kind, now

    return show
