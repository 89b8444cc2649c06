"""Tools that are missing, refuse or hang."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from alula.synth import tools
from alula.synth.tools import SynthError, Tool


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    tools._tool.cache_clear()
    yield
    tools._tool.cache_clear()


def python(program: str) -> Tool:
    return Tool("python", (sys.executable, "-c", program), "Python")


def test_a_missing_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for find, name in ((tools.yosys, "yosys"), (tools.nextpnr, "nextpnr-ecp5")):
        with pytest.raises(SynthError, match=rf'^{name} must be installed: pip install "alula'):
            find()


def test_a_tool_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "yosys"
    program.write_text("#!/bin/sh\necho Yosys 9.9 '(git sha1 abc)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert tools.yosys() == Tool("yosys", (str(program),), "Yosys 9.9")


def test_a_refusal_names_the_error(tmp_path: Path) -> None:
    tool = python("print('a'); print('ERROR: no such cell'); raise SystemExit(3)")
    with pytest.raises(SynthError, match=r"^python ended with 3: ERROR: no such cell\na\n"):
        tool.run([], folder=tmp_path, limit_s=60)


def test_a_tool_that_hangs(tmp_path: Path) -> None:
    with pytest.raises(SynthError, match=r"^python must end within 1 s, and did not$"):
        python("import time; time.sleep(60)").run([], folder=tmp_path, limit_s=1)


def test_lines_are_heard_as_they_come(tmp_path: Path) -> None:
    told: list[str] = []
    printed = python("print('one'); print('two')").run(
        [], folder=tmp_path, limit_s=60, heard=told.append
    )
    assert told == ["one", "two"]
    assert printed == "one\ntwo"
