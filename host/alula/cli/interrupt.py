"""Ctrl-C ends the process within seconds, whatever it is doing, and all that it has started.

Python turns the signal into KeyboardInterrupt, and what is being written is then removed. That may
never come: a library's long call does not look for it, and a program that was started, a compiler
for example, need not have got the signal at all. A thread sees to both.
"""

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
_LOOKS = 25
"""How often one looks, in the grace that they have when the process itself ends."""


@contextmanager
def ends_in_time(message: str, exit_code: int) -> Iterator[None]:
    """Watch for Ctrl-C while the block runs; only in a process's main thread.

    Where it came, what the block has started ends no later than the block.

    Args:
        message: printed where the block does not end by itself.
        exit_code: of the process then.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    there, here = socket.socketpair()
    there.setblocking(False)
    over, alone = threading.Event(), threading.Event()
    words = (here, over, alone, message, exit_code)
    threading.Thread(target=_watch, args=words, daemon=True).start()
    before = signal.set_wakeup_fd(there.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        there.close()
        alone.wait()


def _watch(
    signals: socket.socket,
    over: threading.Event,
    alone: threading.Event,
    message: str,
    exit_code: int,
) -> None:
    """Wait for the signal. From then on the process ends, in the block or behind it."""
    with signals:
        while received := signals.recv(16):
            if signal.SIGINT in received:
                break
        else:
            alone.set()
            return
    limit = time.monotonic() + LIMIT_S
    over.wait(GRACE_S)
    _end_children(signal.SIGTERM)
    if not over.wait(max(0, limit - GRACE_S - time.monotonic())):
        _end_children(signal.SIGKILL)
        print(message, file=sys.stderr, flush=True)
        os._exit(exit_code)
    for _ in range(_LOOKS):
        if not _descendants():
            break
        time.sleep(GRACE_S / _LOOKS)
    _end_children(signal.SIGKILL)
    alone.set()
    time.sleep(max(0, limit - time.monotonic()))
    os._exit(exit_code)


def _end_children(number: signal.Signals) -> None:
    for process in _descendants():
        try:
            os.kill(process, number)
        except (ProcessLookupError, PermissionError):
            continue


def _descendants() -> list[int]:
    """Running processes that this one has started, and that those have; none without a /proc."""
    children: dict[int, list[int]] = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            # "pid (name) state parent ...": the name may hold anything.
            state, parent = place.read_text(errors="replace").rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        if state != "Z":
            children.setdefault(int(parent), []).append(int(place.parent.name))
    found, left = [], [os.getpid()]
    while left:
        mine = children.get(left.pop(), [])
        found += mine
        left += mine
    return found
