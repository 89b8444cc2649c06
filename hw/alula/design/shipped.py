"""The designs that come with Alula."""

from pathlib import Path


def shipped_designs() -> dict[str, Path]:
    """Return name to path of the shipped design files, in a source tree or an installed wheel."""
    here = Path(__file__).resolve()
    for folder in (here.parents[3] / "designs", here.parents[1] / "designs"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}
