"""What is installed: one package of several folders, with a version and a command."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOTS = [ROOT / name for name in ("hw", "sw", "sim", "host")]
PROGRAM = """
import alula, alula.processes, alula.ir.architecture, alula.rtl.toolchain, alula.cli
print(alula.__version__)
print(sorted(set(__import__("importlib.util").util.find_spec("alula").submodule_search_locations)))
alula.nothing
"""


@pytest.mark.parametrize("place", [0, 4])
def test_the_package_joins_its_roots(place: int) -> None:
    paths = [str(path) for path in ROOTS]
    paths.insert(place, str(ROOT / "wheel"))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 1
    assert done.stderr.endswith("AttributeError: module 'alula' has no attribute 'nothing'\n")
    told, folders = done.stdout.splitlines()
    assert told == version("alula")
    assert all(str(path / "alula") in folders for path in ROOTS)


def test_the_command_as_a_module() -> None:
    words = [sys.executable, "-m", "alula", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"alula {version('alula')}\n")


def test_benches_without_cocotb() -> None:
    program = "import importlib.util as u; u.find_spec = lambda name: None; import alula.bench"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    line = 'benches need cocotb, not installed: pip install "alula[bench]"'
    assert done.stderr.splitlines()[-1] == f"ModuleNotFoundError: {line}"
