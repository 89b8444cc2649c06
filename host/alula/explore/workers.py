"""Processes that call functions, each in a fresh interpreter, and never outlive this one."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Self, TypeVar

# A fresh interpreter each: threads of numba and torch do not survive a fork.
_CONTEXT = multiprocessing.get_context("spawn")

_PATIENCE_S = 2.0
"""How long a worker may take to clean up before it is killed."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Lost:
    """An item whose process ended before its result, and how."""

    reason: str


class Workers:
    """Processes that are started as they are needed and kept until the block ends.

    A process that ends takes only its own item with it. An error or Ctrl-C, or the end of this
    process, ends them all, with the programs that they run.

    Args:
        processes: items at once.
    """

    def __init__(self, processes: int) -> None:
        self.count = processes
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._workers)
        self._workers = []

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[int, Result | Lost]]:
        """Yield number and result of each item as it comes.

        Args:
            function: called with each item; it can be pickled and raises nothing.
            items: what it is called with; taken as workers have nothing to do.
        """
        waiting, workers = enumerate(items), self._workers
        left = True
        while left or any(worker.number is not None for worker in workers):
            idle = [worker for worker in workers if worker.number is None]
            while left and (idle or len(workers) < self.count):
                number, item = next(waiting, (None, None))
                if number is None:
                    left = False
                    break
                if not idle:
                    workers.append(_Worker())
                    idle.append(workers[-1])
                idle.pop().give(number, (function, item))
            for worker in _ready(workers):
                number, result = worker.take()
                if isinstance(result, Lost):
                    workers.remove(worker)
                yield number, result


class _Worker:
    """A process, and the number of the item that it works on."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.connection, other = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(target=_serve, args=(other,), daemon=True)
        # Ctrl-C reaches the whole terminal; who started the workers ends them.
        with _interrupts_held():
            self.process.start()
        other.close()

    def give(self, number: int, item: object) -> None:
        """Let it work on an item."""
        self.number = number
        with suppress(BrokenPipeError):  # it has ended, which `take` tells
            self.connection.send(item)

    def take(self) -> tuple[int, Any]:
        """Return number and result of its item, which is there, or the process has ended."""
        assert self.number is not None
        number, self.number = self.number, None
        try:
            return number, self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            return number, Lost(_ending(self.process.exitcode or 0))


def _ready(workers: Sequence[_Worker]) -> list[_Worker]:
    """Wait until workers have a result or have ended, and return them; none if none has an item."""
    busy = {worker.connection: worker for worker in workers if worker.number is not None}
    if not busy:
        return []
    return [busy[item] for item in wait(list(busy)) if isinstance(item, Connection)]


def _end(workers: Sequence[_Worker]) -> None:
    """End the workers: asked to first, so that they remove what is half-written, then killed."""
    for worker in workers:
        worker.process.terminate()
    end = time.monotonic() + _PATIENCE_S
    for worker in workers:
        worker.process.join(max(0.0, end - time.monotonic()))
        worker.process.kill()
        worker.process.join()
        worker.connection.close()


def _serve(connection: Connection) -> None:
    """Call the functions that come, as long as the parent lives and does not say stop."""
    signal.signal(signal.SIGTERM, _terminated)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # A pipe that breaks is the parent's end.
    with suppress(EOFError, ConnectionError):
        while True:
            function, item = connection.recv()
            connection.send(function(item))


def _terminated(*_: object) -> None:
    """End without a word, also in the middle of a finalizer or of ending already."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.unraisablehook = lambda unraisable: None
    sys.exit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE_S)
    os._exit(1)


def _ending(code: int) -> str:
    if code == -signal.SIGKILL:
        return "its process was killed, as for lack of memory"
    if code < 0:
        return f"its process ended by signal {-code} ({signal.strsignal(-code)})"
    return f"its process ended with {code}"


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back; processes started meanwhile never get it."""
    resource_tracker.ensure_running()  # its start, which would come first, lets Ctrl-C in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
