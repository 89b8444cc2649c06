"""What the documentation calls stable is there; its table of packages names each of them."""

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
    found = re.search(r"^## \[([\d.]+)\] - \d{4}-\d\d-\d\d$", _text("CHANGELOG.md"), re.MULTILINE)
    assert found
    assert f'\nversion = "{found[1]}"\n' in _text("pyproject.toml")


def test_the_table_of_packages_names_each() -> None:
    rows = re.findall(
        r"^\| (`alula.+?) \| `(\w+)/` \|", _text("docs/explanation/packages.md"), re.MULTILINE
    )
    named = {(root, name) for names, root in rows for name in re.findall(r"`alula\.(\w+)`", names)}
    there = {
        (root, path.stem)
        for root in ("hw", "sw", "sim", "host")
        for path in (ROOT / root / "alula").iterdir()
        if (path.suffix == ".py" and path.stem != "__main__") or (path / "__init__.py").exists()
    }
    assert named == there


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
