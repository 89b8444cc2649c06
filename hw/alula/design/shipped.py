"""The designs, sweeps, recipes and files of devices that come with Alula."""

from collections.abc import Mapping
from pathlib import Path

from alula.design.error import DesignError, listed, meant


def shipped_designs() -> dict[str, Path]:
    """Return name to path of the shipped design files, in a source tree or an installed wheel."""
    return _shipped(Path())


def shipped_sweeps() -> dict[str, Path]:
    """Return name to path of the shipped sweep files."""
    return _shipped(Path("sweeps"))


def shipped_recipes() -> dict[str, Path]:
    """Return name to path of the shipped recipes for compression."""
    return _shipped(Path("recipes"))


def shipped_devices() -> dict[str, Path]:
    """Return name to path of the shipped files of devices."""
    return _shipped(Path("devices"))


def named_file(source: str | Path, shipped: Mapping[str, Path], kind: str) -> Path:
    """Return the path of a file that was named by its path, or by the name of a shipped one.

    Args:
        source: path or name.
        shipped: path by name.
        kind: what the file must be, in a word.

    Raises:
        DesignError: there is neither.
    """
    path, name = Path(source), str(source)
    if path.is_file():
        return path
    if name in shipped:
        return shipped[name]
    wanted = f"a {kind} file, or {listed(sorted(shipped))}"
    if path.is_dir():
        raise DesignError(wanted, "a folder", name)
    advice = f"no such file: {name}{meant(path.stem, shipped)}"
    raise DesignError(wanted, "a missing one", advice)


def shipped_folder() -> Path:
    """Return the folder of all of them, in a source tree or an installed wheel."""
    here = Path(__file__).resolve()
    places = here.parents[3] / "designs", here.parents[1] / "designs"
    return next((folder for folder in places if folder.is_dir()), places[0])


def _shipped(part: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted((shipped_folder() / part).glob("*.yaml"))}
