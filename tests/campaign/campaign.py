"""Hands numbers to workers, ends those that take too long, and gathers what was found."""

import importlib
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.campaign.kinds import WITH_A_MODEL
from tests.campaign.sources import write_folder
from tests.campaign.worker import prepare, serve

LIMIT_S = 60.0
"""Seconds by the clock after which an input is ended: it may be that it waits for something."""
_PREPARED_S = 900
_SERVED = 500
"""Inputs after which a worker is replaced, so that none grows."""
_FORK = multiprocessing.get_context("fork")
_IMPORTED = (
    "cli.app",
    "runtime.loading",
    "frontend.huggingface",
    "codegen",
    "explore.sweep_file",
    "model",
)


@dataclass(frozen=True)
class Failure:
    """An input that did not end as it should.

    Attributes:
        number: of the input; with the seed all that is needed to make it again.
        kind: of the input.
        found: what was wrong, in a few words.
        told: what it wrote to standard error, or the traceback.
    """

    number: int
    kind: str
    found: str
    told: str


@dataclass
class Result:
    """What a campaign has found so far; seconds are those of processors, by kind."""

    inputs: Counter[str] = field(default_factory=Counter)
    well: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    slowest: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    failures: list[Failure] = field(default_factory=list)


class _Dead(Exception):
    """A worker that answers no more: its text says what became of it."""


class _Process:
    """A worker's process, seen from its parent: a fork, so that nothing is imported again."""

    def __init__(self, seed: int, kinds: tuple[str, ...], home: Path) -> None:
        self._pipe, theirs = _FORK.Pipe()
        self._process = _FORK.Process(target=serve, args=(theirs, seed, kinds, home))
        self._process.start()
        theirs.close()

    def ask(self, number: int) -> None:
        self._pipe.send(number)

    def answer(self) -> dict[str, Any]:
        """What it says next. _Dead if that does not come in time or at all."""
        try:
            if self._pipe.poll(LIMIT_S):
                return self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            code = self._process.exitcode or 0
            name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            raise _Dead(f"the process ended: {name}") from None
        raise _Dead(f"more than {LIMIT_S:.0f} s")

    def end(self) -> None:
        """End it, and what it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid or 0, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._pipe.close()


class Campaign:
    """Inputs of a seed.

    Args:
        seed: inputs follow from it and from their number.
        kinds: that are drawn.
        kept: where the files of those that fail are left.
    """

    def __init__(self, seed: int, kinds: tuple[str, ...], kept: Path) -> None:
        self._seed, self._kinds, self._kept = seed, kinds, kept
        self._scratch = tempfile.TemporaryDirectory(prefix="alula-campaign-")
        self._home = Path(self._scratch.name)
        if set(kinds) & {*WITH_A_MODEL}:
            self._prepare()
        self._process: _Process | None = None
        self._served = 0

    def run(self, numbers: Iterable[int], until: float = float("inf")) -> Result:
        """Run inputs, at most until a time of the monotonic clock."""
        result = Result()
        started = told = time.monotonic()
        for number in numbers:
            now = time.monotonic()
            if now > until:
                break
            if now - told > 30:
                done = sum(result.inputs.values())
                failed = len({failure.number for failure in result.failures})
                print(f"{done} inputs, {failed} failed, {now - started:.0f} s", flush=True)
                told = now
            self._one(number, result)
        return result

    def close(self) -> None:
        """End the worker and drop its files."""
        if self._process is not None:
            self._process.end()
        self._scratch.cleanup()

    def _prepare(self) -> None:
        write_folder(self._home / "model")
        _import_all(self._home / "model")
        first = _FORK.Process(target=prepare, args=(self._home,))
        first.start()
        first.join(_PREPARED_S)
        if first.exitcode != 0:
            first.kill()
            raise RuntimeError(f"the good model must answer, not end with {first.exitcode}")

    def _one(self, number: int, result: Result) -> None:
        answer = self._try(number)
        if answer["found"]:
            # On a busy machine a second look tells chance from fault.
            self._restart()
            answer = self._try(number)
        kind = answer["kind"]
        result.inputs[kind] += 1
        result.well[kind] += answer["code"] == 0
        result.seconds[kind] += answer["seconds"]
        result.slowest[kind] = max(result.slowest[kind], answer["seconds"])
        for found in answer["found"]:
            told = answer["defect"] or answer["errors"]
            result.failures.append(Failure(number, kind, found, told))
        if answer["found"]:
            self._keep(number, answer)
            self._restart()

    def _try(self, number: int) -> dict[str, Any]:
        if self._process is None or self._served >= _SERVED:
            self._restart()
        assert self._process is not None
        self._served += 1
        made: dict[str, Any] = {"made": "unmade", "words": []}
        started = time.monotonic()
        try:
            self._process.ask(number)
            made = self._process.answer()
            answer = self._process.answer()
        except (_Dead, BrokenPipeError) as dead:
            seconds = time.monotonic() - started
            ended = {"code": -1, "seconds": seconds, "errors": "", "defect": ""}
            answer = {"kind": made["made"], "found": [str(dead)], **ended}
        return answer | {"words": made["words"]}

    def _restart(self) -> None:
        if self._process is not None:
            self._process.end()
        self._process = _Process(self._seed, self._kinds, self._home)
        self._served = 0

    def _keep(self, number: int, answer: dict[str, Any]) -> None:
        place = self._kept / f"{self._seed}-{number}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        shutil.copytree(self._home / "work", place / "files", symlinks=True, copy_function=_copied)
        (place / "found.json").write_text(json.dumps(answer, indent=1) + "\n")


def _copied(source: str, target: str) -> None:
    """Copy what is a regular file; a FIFO or a socket is only told."""
    if Path(source).is_symlink() or Path(source).is_file():
        shutil.copy2(source, target, follow_symlinks=False)
    else:
        Path(f"{target}.no-regular-file").touch()


def _import_all(model: Path) -> None:
    """Import what commands import when they run: the workers begin with it."""
    for name in _IMPORTED:
        importlib.import_module(f"alula.{name}")
    # Threads do not live on in a fork, and what waits for them waits for ever.
    importlib.import_module("torch").set_num_threads(1)
    # transformers imports what a configuration needs when it reads one.
    importlib.import_module("alula.frontend").load(model)
