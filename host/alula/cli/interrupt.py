"""Ctrl-C ends the process within seconds, whatever it is doing, and all that it has started.

Python turns the signal into KeyboardInterrupt, and what is being written is then removed. That may
never come: a library's long call does not look for it, and a program that was started, a compiler
for example, need not have got the signal at all. A thread sees to both.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GRACE_S = 0.5
"""After this, seconds, programs that were started are asked to end."""
LIMIT_S = 4.0
"""After this, seconds, they and the process itself are ended."""


@contextmanager
def ends_in_time(message: str, exit_code: int) -> Iterator[None]:
    """Watch for Ctrl-C while the block runs; only in a process's main thread.

    Args:
        message: told where the block does not end of itself.
        exit_code: of the process then.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    there, here = socket.socketpair()
    there.setblocking(False)
    over = threading.Event()
    threading.Thread(target=_watch, args=(here, over, message, exit_code), daemon=True).start()
    before = signal.set_wakeup_fd(there.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        there.close()


def _watch(signals: socket.socket, over: threading.Event, message: str, exit_code: int) -> None:
    """Wait for the signal. From then on the process ends, in the block or behind it."""
    with signals:
        while received := signals.recv(16):
            if signal.SIGINT in received:
                break
        else:
            return
    started = time.monotonic()
    time.sleep(GRACE_S)
    _end_children(signal.SIGTERM)
    time.sleep(max(0, LIMIT_S - (time.monotonic() - started)))
    _end_children(signal.SIGKILL)
    if not over.is_set():
        print(message, file=sys.stderr, flush=True)
    os._exit(exit_code)


def _end_children(number: signal.Signals) -> None:
    for process in _descendants():
        try:
            os.kill(process, number)
        except (ProcessLookupError, PermissionError):
            continue


def _descendants() -> list[int]:
    """Processes that this one has started, and that those have; none where there is no /proc."""
    children: dict[int, list[int]] = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            # "pid (name) state parent ...": the name may hold anything.
            parent = int(place.read_text(errors="replace").rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        children.setdefault(parent, []).append(int(place.parent.name))
    found, left = [], [os.getpid()]
    while left:
        mine = children.get(left.pop(), [])
        found += mine
        left += mine
    return found
