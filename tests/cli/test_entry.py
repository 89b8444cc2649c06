"""How the command begins and ends, whatever its streams are and whenever Ctrl-C comes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alula.isa import Program, assemble, encode_all

MAIN = "from alula.cli import main; main()"
RUN = (sys.executable, "-c", MAIN)
INTERRUPTED = "alula: interrupted\n"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program whose name and inputs hold what a terminal would obey."""
    path = tmp_path / "p.alula"
    name, inputs = "\x1b[31m\ud800\n\u202e", {"\r\x9b": 1}
    Program(name, "0" * 16, encode_all(assemble("NOP\nEND")), {}, inputs).save(path)
    return path


def shell(program: Path, redirected: str) -> subprocess.CompletedProcess[str]:
    """`alula disasm` of the program, with the shell's redirections."""
    words = " ".join(f"'{word}'" for word in (*RUN, "disasm", str(program)))
    return subprocess.run(["bash", "-c", f"{words} {redirected}"], capture_output=True, text=True)


def runs(process: int) -> bool:
    """Whether a process is there, and not only waits to be asked for its exit code."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


@pytest.mark.parametrize(
    ("redirected", "code", "errors"),
    [
        (">&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        ("> /dev/full", 2, "alula: no space left on device\n"),
        (">&- 2>&- --nonsense", 2, ""),
    ],
)
def test_streams(program: Path, redirected: str, code: int, errors: str) -> None:
    done = shell(program, redirected)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", errors)


def test_a_file_never_takes_the_place_of_a_stream(tmp_path: Path) -> None:
    source, out = tmp_path / "a.s", tmp_path / "a.alula"
    source.write_text("END\n")
    words = " ".join(f"'{word}'" for word in (*RUN, "asm", source, "-o", out, "--design", "nano"))
    subprocess.run(["bash", "-c", f"{words} >&- 2>&-"], check=True)
    assert Program.load(out).ops[0].name == "END"


def test_what_a_file_says_is_escaped(alula, program: Path, tmp_path: Path) -> None:
    lines = alula("disasm", program).out.splitlines()
    assert lines[0] == r"; \x1b[31m\ud800\n\u202e, design 0000000000000000"
    assert lines[1] == r"; r1: \r\x9b"
    result = alula("disasm", "--json", program)
    assert result.json["name"] == "\x1b[31m\ud800\n\u202e"
    assert result.out.rstrip("\n").isprintable()
    source = tmp_path / "a.s"
    source.write_text("NOP \x1b[31m\u202e\n")
    (line,) = alula("asm", source, "-o", tmp_path / "x").errors
    assert line.endswith(r"a.s:1: NOP operands must be field=value, not \x1b[31m\u202e")


def test_a_file_that_says_much_is_told_in_short(alula, tmp_path: Path) -> None:
    source = tmp_path / "a.s"
    source.write_text("a" * 900)
    (line,) = alula("asm", tmp_path / ("b" * 3000), "-o", tmp_path / "x").errors
    assert len(line) < 2100
    assert " ... " in line
    (line,) = alula("asm", source, "-o", tmp_path / "x").errors
    assert line.endswith("a" * 900)


def test_the_working_directory_is_gone(program: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    words = " ".join(f"'{word}'" for word in (*RUN, "disasm", str(program)))
    script = f"mkdir {gone}; cd {gone}; rmdir {gone}; {words}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", [b"\xff.gguf", b"a\nb\x1b[31m"])
def test_names_of_any_bytes(name: bytes, tmp_path: Path) -> None:
    place = os.fsencode(tmp_path) + b"/" + name
    done = subprocess.run([*RUN, "disasm", place], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("alula: ")
    assert line.isprintable()


@pytest.mark.parametrize("phase", ["first", "import", "command"])
def test_ctrl_c_in_the_first_second(phase: str, tmp_path: Path) -> None:
    """The signal comes as soon as a module is imported; the command's own last."""
    module = {"first": "threading", "import": "typer", "command": "numpy"}[phase]
    hook = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            sys.meta_path.remove(self)\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        f"sys.modules.pop({module!r}, None)\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    words = [sys.executable, "-c", hook + MAIN, "disasm", str(tmp_path / "none")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", INTERRUPTED)


def test_ctrl_c_tells_nothing_of_gateware_half_made(tmp_path: Path) -> None:
    """Amaranth warns of a module that was made and never used, as those are at the signal."""
    hook = (
        "import gc, os, signal, sys\n"
        "from amaranth.hdl import Elaboratable, Fragment, Module\n"
        "Fragment.get(Module(), None)\n"
        "class Half(Elaboratable): pass\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'numpy':\n"
        "            half = Half()\n"
        "            try: os.kill(os.getpid(), signal.SIGINT)\n"
        "            finally: half = None; gc.collect()\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    words = [sys.executable, "-c", hook + MAIN, "disasm", str(tmp_path / "none")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", INTERRUPTED)


WAITS = """
import subprocess, sys, time
from alula.cli.interrupt import ends_in_time
with ends_in_time("alula: interrupted", 2):
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    while True:
        try:
            print(child.pid, flush=True)
            time.sleep(1000)
        except KeyboardInterrupt:
            {then}
sys.exit(2)
"""


@pytest.mark.parametrize(
    "then", ["continue", "print('alula: interrupted', file=sys.stderr); break"]
)
def test_ctrl_c_ends_a_process_that_does_not_listen_and_its_children(then: str) -> None:
    words = [sys.executable, "-c", WAITS.format(then=then)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as one:
        assert one.stdout is not None
        child = int(one.stdout.readline())
        started = time.monotonic()
        one.send_signal(signal.SIGINT)
        _, errors = one.communicate(timeout=20)
    assert time.monotonic() - started < 5
    assert (one.returncode, errors) == (2, INTERRUPTED)
    assert not runs(child)
