"""The parent's side of the text process: one for all tokenizers of this process."""

import atexit
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict
from select import select
from typing import IO, Any, BinaryIO, cast

from alula.text.budget import Budget
from alula.text.errors import TOO_MUCH_MEMORY, NotLoadedError, TextError
from alula.text.frames import read_frame, write_frame

_WAIT_S = 60
"""Seconds that an answer may come later than its budget of processor time, on a busy machine."""

_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "RAYON_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "RUST_BACKTRACE": "0",
}


class TextProcess:
    """A child that answers one request after the other; see `alula.text.server`.

    It starts with the first request and ends with its parent, however that ends. Where a request
    ends it, the next one has a new child.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._complaints: IO[bytes] | None = None
        self._owner = 0

    def start(self) -> None:
        """Start the child, if it does not run, and do not wait for it. OSError if that fails."""
        if self._child is not None and self._owner != os.getpid():
            # This process is a fork of the one whose child it is.
            self._child, self._lock = None, threading.Lock()
        if self._child is not None and self._child.poll() is None:
            return
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115
        self._owner = os.getpid()
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", "alula.text.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env=os.environ | _ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            # A Ctrl-C is for the parent, which ends this child if it waits for it.
            start_new_session=True,
        )

    def call(self, what: str, method: str, *arguments: Any, budget: Budget) -> Any:
        """Return what a method of the server gives.

        Args:
            what: what must hold, "... must ..., not ...": begins the message of an error.
            method: of `alula.text.server.Server`.
            arguments: its arguments, as JSON has them.
            budget: what it may take.

        Raises:
            TextError: it refuses, fails, or takes more than it may.
            NotLoadedError: the server's `load` has to be called first.
            OSError: the child cannot be started.
        """
        with self._lock:
            self.start()
            assert self._child is not None
            try:
                answer = self._answer(self._child, [method, arguments, asdict(budget)], budget)
            except EOFError:
                raise TextError(f"{what}: {self._ending(budget)}") from None
            except BaseException:
                self.close()
                raise
        if "absent" in answer:
            raise NotLoadedError
        if "refused" in answer:
            raise TextError(answer["refused"])
        if "failed" in answer:
            raise TextError(f"{what}: {answer['failed']}")
        return answer["value"]

    def close(self) -> None:
        """End the child, whatever it does."""
        child, self._child = self._child, None
        if child is None or self._owner != os.getpid():
            return
        child.kill()
        child.communicate()
        if self._complaints is not None:
            self._complaints.close()

    @staticmethod
    def _answer(
        child: "subprocess.Popen[bytes]", request: list[Any], budget: Budget
    ) -> dict[str, Any]:
        """Return what the child answers; EOFError if it ends instead."""
        requests, answers = cast(BinaryIO, child.stdin), cast(BinaryIO, child.stdout)
        try:
            write_frame(requests, request)
        except BrokenPipeError:
            raise EOFError from None
        if not select([answers], [], [], budget.seconds + _WAIT_S)[0]:
            child.send_signal(signal.SIGPROF)
        return read_frame(answers)

    def _ending(self, budget: Budget) -> str:
        """Return why the child has ended, and forget it."""
        assert self._child is not None
        assert self._complaints is not None
        code = self._child.wait()
        self._complaints.seek(0)
        lines = self._complaints.read(1 << 20).decode(errors="replace").split("\n")
        self.close()
        if code == -signal.SIGPROF:
            return f"more than {budget.seconds:.0f} s of processor time"
        if any(line.startswith("memory allocation of ") for line in lines):
            return TOO_MUCH_MEMORY
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"the end of its process ({name})"


TEXT_PROCESS = TextProcess()
"""What runs the tokenizers of this process."""

atexit.register(TEXT_PROCESS.close)
