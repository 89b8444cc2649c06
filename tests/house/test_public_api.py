"""What the documentation calls stable is there, and all of it is told."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")
STABLE = {
    package: set(re.findall(r"`(\w+)`", names))
    for package, names in re.findall(r"^\| `(alula\.\w+)` \| (.*) \|$", PAGE, re.MULTILINE)
}


def test_the_table_is_found() -> None:
    assert len(STABLE) == 6


@pytest.mark.parametrize("package", STABLE)
def test_names_are_those_of_all(package: str) -> None:
    module = importlib.import_module(package)
    assert STABLE[package] == set(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)


def test_the_changelog_begins_with_this_version() -> None:
    told = re.search(r"^## \[([\d.]+)\] - \d{4}-\d\d-\d\d$", _text("CHANGELOG.md"), re.MULTILINE)
    assert told
    assert f'\nversion = "{told[1]}"\n' in _text("pyproject.toml")


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
