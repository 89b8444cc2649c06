"""`alula sweep`: rows without a simulation, files, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest
import yaml

QUICK = Path(__file__).parents[2] / "designs" / "sweeps" / "quick.yaml"


def sweep_file(folder: Path, change: dict[str, Any]) -> Path:
    file = folder / "s.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(QUICK.read_text()) | change))
    return file


def test_rows_and_files(alula, tmp_path: Path) -> None:
    file = sweep_file(tmp_path, {"axes": {"mpe.tokens": [3]}})
    result = alula("sweep", file, "--json", "--out", tmp_path / "out")
    assert (result.code, result.errors) == (0, [])
    (row,) = result.json["rows"]
    assert row["mpe.tokens"] == 3
    assert row["reason"].startswith("must be 2, 4, 8, 16 or 32, not 3 ")
    names = {"quick.json", "quick.csv", "quick.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    again = alula("sweep", file, "--out", tmp_path / "out")
    assert again.code == 2
    assert again.errors[0].startswith("alula: --out must be a folder that does not exist yet")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"axes": {"mpe.token": [2]}}, "must be a field of a design (lanes, tokens, "),
        ({"axes": {}}, "must be at least 1 long"),
        ({"workload": {}}, "must be decode_at, prefill or both"),
    ],
)
def test_refusals(alula, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    result = alula("sweep", sweep_file(tmp_path, change), "--json", "--out", tmp_path / "out")
    assert (result.code, result.out) == (2, "")
    (line,) = result.errors
    assert line.startswith(f"alula: {words}")
    assert not (tmp_path / "out").exists()
