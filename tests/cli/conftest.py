"""Runs the command line in this process."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from alula.cli import main


@dataclass(frozen=True)
class Result:
    """What a command gave: exit code, standard output, lines of standard error."""

    code: int
    out: str
    errors: list[str]

    @property
    def json(self) -> Any:
        """The one JSON value on standard output."""
        (line,) = self.out.splitlines()
        return json.loads(line)


Alula = Callable[..., Result]


@pytest.fixture
def alula(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Alula:
    """Run `alula` with some words."""

    def run(*words: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["alula", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            main()
        out, errors = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return Result(caught.value.code, out, errors.splitlines())

    return run


@pytest.fixture(scope="module", autouse=True)
def module_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache for the module's builds."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALULA_CACHE", str(folder))
        yield folder
