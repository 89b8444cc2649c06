"""How a measurement that runs in a process of its own tells its result."""

import json
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from alula.cli.progress import progress_bar
from alula.progress import Progress

ROOT = Path(__file__).resolve().parent.parent
MODEL = "smollm2-135m"


def progress_shown() -> AbstractContextManager[Progress]:
    """Give a `Progress` that is seen in a terminal and in a log."""
    return progress_bar(lines=True)


def report(result: dict[str, Any]) -> None:
    """Print a result as the last line of this process."""
    print(json.dumps(result))


def measured(module: str, *words: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    """Run `python -m benchmarks.MODULE` and return what it reports."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *words],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])
