"""A worker where one call runs at a time, each within a limit of seconds if there is one."""

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeVar

from alula.runtime.errors import DeviceError
from alula.runtime.spans import segment_name
from alula.runtime.split import Segment, Target
from alula.runtime.worker import KvRows, Output, Work, Worker

_Result = TypeVar("_Result")
Begin = Callable[[], None]
"""Called when a call begins that may have waited for its turn."""


class Station:
    """Calls a worker; what fails or takes too long is reported with the units it was to run.

    What takes too long cannot be ended: it goes on, and until it is over every other call is
    refused.

    Args:
        target: what the worker is.
        worker: what is called.
        limit_s: seconds that a call may take; None: no limit.
    """

    def __init__(self, target: Target, worker: Worker, limit_s: float | None = None) -> None:
        self._target = target
        self._worker = worker
        self._limit_s = limit_s
        self._turn = Lock()
        self._late: tuple[str, Future[Any]] | None = None
        self._hands: dict[bool, _Hand] = {}

    def run(self, segment: Segment, work: Work, begin: Begin) -> Output:
        """Run a segment; see `Worker.run`. DeviceError if that fails."""
        name = segment_name(segment)
        return self._call(name, lambda: self._worker.run(segment, work), begin)

    def read_kv(self, layer: int, start: int, stop: int, begin: Begin = lambda: None) -> KvRows:
        """Return keys and values; see `Worker.read_kv`. DeviceError if that fails."""
        return self._call(
            f"reading keys and values of layers.{layer}",
            lambda: self._worker.read_kv(layer, start, stop),
            begin,
            shared=self._worker.shared,
        )

    def write_kv(self, layer: int, start: int, rows: KvRows) -> None:
        """Take keys and values; see `Worker.write_kv`. DeviceError if that fails."""
        self._call(
            f"writing keys and values of layers.{layer}",
            lambda: self._worker.write_kv(layer, start, rows),
            shared=self._worker.shared,
        )

    def _call(
        self,
        what: str,
        call: Callable[[], _Result],
        begin: Begin = lambda: None,
        *,
        shared: bool = False,
    ) -> _Result:
        """Return what a call returns. `shared`: it need not wait for others."""
        with nullcontext() if shared else self._turn:
            if self._late and not self._late[1].done():
                raise DeviceError(
                    f"{self._target} must be done with {self._late[0]}, which timed out, not still"
                    " be at it"
                )
            begin()
            try:
                return self._within_limit(what, call, shared)
            except (RuntimeError, MemoryError, OSError) as error:
                if type(error).__module__.startswith("alula."):
                    raise
                reason = " ".join(str(error).split()) or type(error).__name__
                raise DeviceError(f"{what} on {self._target} failed: {reason}") from error

    def _within_limit(self, what: str, call: Callable[[], _Result], shared: bool) -> _Result:
        if self._limit_s is None:
            return call()
        if shared not in self._hands:
            self._hands[shared] = _Hand()
        future = self._hands[shared].start(call)
        try:
            return future.result(self._limit_s)
        except TimeoutError:
            if future.done():
                raise
            self._late = what, future
            raise DeviceError(
                f"{what} on {self._target} failed: not done after {self._limit_s:g} s"
            ) from None


class _Hand:
    """A thread that makes one call after the other."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        Thread(target=_work, args=(self._calls,), daemon=True).start()

    def start(self, call: Callable[[], _Result]) -> "Future[_Result]":
        future: Future[_Result] = Future()
        self._calls.put((call, future))
        return future

    def __del__(self) -> None:
        self._calls.put(None)


def _work(calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]) -> None:
    while (given := calls.get()) is not None:
        call, future = given
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)
        del given, call, future
