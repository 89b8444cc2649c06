"""The simulations that `make test` runs are there, and every room of the gateware has one."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import SMOKE

import alula.gateware

ROOT = Path(__file__).parents[2]


def test_a_unit_of_each_room_a_core_and_programs() -> None:
    (folder,) = alula.gateware.__path__
    rooms = {path.parent.name for path in Path(folder).glob("*/__init__.py")}
    assert rooms <= SMOKE.keys()
    files = {test.partition("::")[0] for test in SMOKE.values()}
    words = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "smoke and not rtl"]
    listed = subprocess.run([*words, *files], cwd=ROOT, capture_output=True, text=True, check=True)
    for test in SMOKE.values():
        assert any(line.startswith(test) for line in listed.stdout.splitlines()), test
