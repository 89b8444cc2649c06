"""Programs that Alula starts. They end when Alula ends, however it ends.

Each runs in a process group of its own. An error, Ctrl-C or a time limit ends the whole group. If
this process itself is killed, its warden does so: a small process that waits at a pipe which closes
with this one.
"""

import atexit
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

_PATIENCE_S = 1.0
"""How long a program may take to clean up before it is killed."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Finished:
    """How a program ended.

    Attributes:
        code: its exit code; negative, the signal that ended it.
        output: what it printed.
        errors: what it printed to standard error, where that was kept apart.
        late: it was ended because it took too long.
    """

    code: int
    output: str
    errors: str
    late: bool


def run(
    words: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    errors_apart: bool = False,
    limit_s: float | None = None,
    heard: Callable[[str], None] = lambda line: None,
) -> Finished:
    """Run a program to its end.

    Args:
        words: the program and its arguments.
        cwd: the folder that it runs in.
        env: its environment; this process's if not given.
        stdin: what it reads.
        errors_apart: keep standard error apart; otherwise it is part of the output.
        limit_s: seconds after which it is ended.
        heard: called with each line of the output at once, without its end.

    Raises:
        OSError: it cannot be started.
    """
    lines: list[str] = []
    late = threading.Event()
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as errors:
        source.write(stdin.encode())
        source.seek(0)
        with _started(words, cwd, env, source, errors if errors_apart else None) as process:

            def stop() -> None:
                late.set()
                _end(process)

            watchdog = threading.Timer(limit_s or 0, stop)
            watchdog.daemon = True
            if limit_s is not None:
                watchdog.start()
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    lines.append(line)
                    heard(line.rstrip("\n"))
                process.wait()
            finally:
                watchdog.cancel()
        errors.seek(0)
        text = errors.read().decode(errors="replace")
    return Finished(process.returncode, "".join(lines), text, late.is_set())


def in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None
) -> Iterator[Result]:
    """Yield a function's results in order, several items at once, each in a thread.

    The first error, or Ctrl-C, ends every program that the threads run, and starts no more.

    Args:
        function: called with each item.
        items: what it is called with.
        workers: items at once; as many as there are processors if not given.
    """
    crew = _Crew()
    with ThreadPoolExecutor(workers or os.cpu_count(), initializer=crew.join) as pool:
        try:
            yield from pool.map(function, items)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            crew.stop()
            raise


class _Crew:
    """The programs that some threads run."""

    current = threading.local()

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def join(self) -> None:
        """Make this thread one of them."""
        self.current.crew = self

    def add(self, process: subprocess.Popen[str]) -> None:
        with self._lock:
            self._running.add(process)
            stopped = self._stopped
        if stopped:
            _end(process)

    def remove(self, process: subprocess.Popen[str]) -> None:
        with self._lock:
            self._running.discard(process)

    def stop(self) -> None:
        """End all that run, and what is added later."""
        with self._lock:
            self._stopped = True
            running = list(self._running)
        for process in running:
            _signal(process.pid, signal.SIGTERM)
        for process in running:
            _end(process)


@contextmanager
def _started(
    words: Sequence[str | Path],
    cwd: Path | None,
    env: Mapping[str, str] | None,
    stdin: IO[bytes],
    errors: IO[bytes] | None,
) -> Iterator[subprocess.Popen[str]]:
    """Start a program, and see that it has ended when the block does."""
    crew: _Crew | None = getattr(_Crew.current, "crew", None)
    process = subprocess.Popen(
        [str(word) for word in words],
        cwd=cwd,
        env=env,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=errors or subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        process_group=0,
    )
    try:
        _WARDEN.tell("+", process.pid)
        if crew is not None:
            crew.add(process)
        yield process
    except BaseException:
        _end(process)
        raise
    finally:
        _WARDEN.tell("-", process.pid)
        if crew is not None:
            crew.remove(process)
        assert process.stdout is not None
        process.stdout.close()


def _end(process: subprocess.Popen[str]) -> None:
    """End a program and all that it has started: asked to first, then killed."""
    _signal(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE_S)
    _signal(process.pid, signal.SIGKILL)
    process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


class _Warden:
    """A process that ends the groups registered with it when this process is gone."""

    _PROGRAM = f"""
import os, signal, sys, time
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for number in (signal.SIGTERM, signal.SIGKILL):
    for group in groups:
        try:
            os.killpg(group, number)
        except OSError:
            pass
    if groups and number == signal.SIGTERM:
        time.sleep({_PATIENCE_S})
"""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def tell(self, sign: str, group: int) -> None:
        """Say that a group has started (`+`) or ended (`-`)."""
        with self._lock, suppress(BrokenPipeError):
            if self._process is None:
                self._process = self._start()
            assert self._process.stdin is not None
            self._process.stdin.write(f"{sign}{group}\n".encode())

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", self._PROGRAM],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        atexit.register(self._dismiss)
        return process

    def _dismiss(self) -> None:
        """Let it go at the end of this process, when nothing runs any more."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()


_WARDEN = _Warden()
