"""A process that makes inputs, runs their commands in itself, and says what was wrong.

Its memory is limited to a share above what it has when it begins; how long an input may take is its
parent's business.
"""

import io
import json
import os
import resource
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from tests.campaign import commands
from tests.campaign.judge import Outcome, complaints, listing
from tests.campaign.kinds import Input, Place, make

MEMORY_BYTES = 2 << 30
LIMIT_S = 10.0
"""What an input may take, seconds of a processor, so that a busy machine makes no difference."""


def prepare(home: Path) -> None:
    """Write what inputs share, beside a good model: a cache with its build, its answer."""
    for name in (".part-mine/notes.txt", ".config/alula", "model.gguf"):
        path = home / "users" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("the user's own")
    os.environ |= {"HOME": str(home / "users"), "ALULA_CACHE": str(home / "built")}
    words = ["run", str(home / "model"), "hi", "--max-new-tokens", "2", "--design", "nano"]
    outcome = _run(Input([*words, "--context", "32", "--json"]))
    (home / "answer").write_text(str(json.loads(outcome.out)["token_ids"]))


def serve(pipe: Connection, seed: int, kinds: tuple[str, ...], home: Path) -> None:
    """Make, run and judge the inputs whose numbers come through a pipe."""
    os.setsid()
    worker = Worker(pipe, seed, kinds, home)
    _limit_memory()
    while True:
        worker.one(pipe.recv())


class Worker:
    """Everything that inputs share.

    Args:
        pipe: told what was made, and then how it ended.
        seed: of the campaign.
        kinds: that are drawn.
        home: what `prepare` has filled.
    """

    def __init__(self, pipe: Connection, seed: int, kinds: tuple[str, ...], home: Path) -> None:
        self._pipe, self._seed, self._kinds = pipe, seed, kinds
        self._work, self._cache = home / "work", home / "cache"
        self._model, self._built, self._users = home / "model", home / "built", home / "users"
        answer = home / "answer"
        self._answer = answer.read_text() if answer.exists() else ""
        os.environ |= {"HOME": str(self._users), "ALULA_CACHE": str(self._cache)}
        os.environ["ALULA_PROGRESS"] = "off"

    def one(self, number: int) -> None:
        """Make an input, run it and judge it."""
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir()
        self._cache.mkdir(exist_ok=True)
        place = Place(self._work, self._model, self._built)
        kind, given = make(self._seed, number, place, self._kinds)
        self._pipe.send({"made": kind, "words": given.words})
        watched = [self._users, self._model, *([] if given.answers else [self._work])]
        before = listing(*watched)
        started = _processor_s()
        outcome = _run(given)
        seconds = _processor_s() - started
        after = listing(*watched)
        found = sorted(set(complaints(given, outcome, before, after, self._answer)))
        if seconds > LIMIT_S:
            found.append(f"more than {LIMIT_S:.0f} s of a processor")
        cache = self._work / "cache" if given.answers else self._cache
        if any(
            path.name.startswith((".part", "tmp", ".")) and not path.name.endswith(".lock")
            for path in cache.rglob("*")
        ):
            found.append("half-written in the cache")
        shutil.rmtree(self._cache, ignore_errors=True)
        self._pipe.send(
            {
                "kind": kind,
                "found": found,
                "code": outcome.code,
                "seconds": seconds,
                "errors": outcome.errors[-2000:],
                "defect": outcome.defect[-3000:],
            }
        )


def _run(given: Input) -> Outcome:
    kept = dict(os.environ)
    os.environ |= given.environment
    defect, code = "", 1
    with _captured() as said:
        try:
            code = commands.run(given.words)
        except BaseException:
            defect = traceback.format_exc()
    os.environ.clear()
    os.environ |= kept
    return Outcome(code, said[0], said[1], defect)


@contextmanager
def _captured() -> Iterator[list[str]]:
    """Give what is written to the standard streams, by Python and by what it calls, at the end."""
    said: list[str] = []
    kept = [(number, os.dup(number)) for number in (1, 2)]
    streams = sys.stdout, sys.stderr
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        for number, file in ((1, out), (2, errors)):
            os.dup2(file.fileno(), number)
        sys.stdout, sys.stderr = (
            io.TextIOWrapper(open(number, "wb", closefd=False), encoding="utf-8", errors=how)  # noqa: SIM115
            for number, how in ((1, "strict"), (2, "backslashreplace"))
        )
        try:
            yield said
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            sys.stdout, sys.stderr = streams
            for number, copy in kept:
                os.dup2(copy, number)
                os.close(copy)
            for file in (out, errors):
                file.seek(0)
                said.append(file.read().decode("utf-8", "backslashreplace"))


def _processor_s() -> float:
    """Seconds of processors that this process and those it has ended took."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _limit_memory() -> None:
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    limit = used + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
