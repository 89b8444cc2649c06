"""What is wrong with how a command ended."""

import hashlib
import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.campaign.kinds import Input

_MEMORY = "must have more free memory"


@dataclass(frozen=True)
class Outcome:
    """How a command ended. `defect`: the traceback of what it raised, if it did."""

    code: int
    out: str
    errors: str
    defect: str = ""


def listing(*folders: Path) -> dict[str, str]:
    """Everything in some folders, by path: what it is, and a hash of what it holds."""
    found = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            mode = path.lstat().st_mode
            content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(mode) else ""
            found[str(path)] = f"{stat.S_IFMT(mode):o} {content}"
    return found


def complaints(
    given: Input, outcome: Outcome, before: dict[str, str], after: dict[str, str], wanted: str
) -> Iterator[str]:
    """Everything that is wrong, each in a few words that are the same for the same fault.

    Args:
        given: what ran.
        outcome: how it ended.
        before, after: `listing` of what the user has.
        wanted: what it must print if it must answer.
    """
    if outcome.defect:
        lines = outcome.defect.strip().splitlines()
        frames = [line.strip() for line in lines if line.strip().startswith("File ")]
        own = [frame for frame in frames if "/alula/" in frame] or frames
        where = own[-1].rpartition("/alula/")[2] if own else ""
        yield f"traceback: {lines[-1].partition(':')[0]} ({where})"
        return
    yield from _words(outcome)
    if given.answers:
        answer = outcome.code == 0 and json.loads(outcome.out).get("token_ids")
        if str(answer) != wanted:
            yield f"no answer, exit code {outcome.code}"
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) == after.get(path):
            continue
        if given.out is not None and path == str(given.out) and outcome.code == 0:
            continue
        yield f"{'left behind' if path not in before else 'lost or changed'}: {Path(path).suffix}"


def _words(outcome: Outcome) -> Iterator[str]:
    lines = outcome.errors.splitlines()
    if outcome.code not in (0, 2):
        yield f"exit code {outcome.code}"
    if _MEMORY in outcome.errors:
        yield "memory"
    if outcome.code == 2:
        if not lines or not lines[0].startswith("alula: "):
            yield "no line"
        elif len(lines) > 1 and "is not supported:" not in lines[0]:
            yield "several lines"
        elif len(outcome.errors) > 20_000:
            yield "a very long line"
    if outcome.code == 0 and any(not line.startswith(("alula: ", "warning: ")) for line in lines):
        yield "other words on standard error"
    for name, text in (("output", outcome.out), ("errors", outcome.errors)):
        bare = text.replace("\n", "").replace("\u00a0", " ").replace("\u3000", " ")
        if not bare.isprintable():
            yield f"control characters in the {name}"
