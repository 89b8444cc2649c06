"""What a campaign keeps: in the place of what it kept before, never of anything else."""

from pathlib import Path

import pytest

from alula.design import load_design
from alula.fuzz import campaign
from alula.fuzz.generator import random_case


def test_only_its_own_is_replaced(tmp_path: Path) -> None:
    case = random_case(load_design("nano"), 1, 0)
    place = tmp_path / case.name
    for reason in ("first", "second"):
        campaign._keep(place, case.program(), case, reason)
    assert (place / "found.txt").read_text() == "second\n"
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "found.txt").write_text("of mine")
    with pytest.raises(OSError, match="not empty"):
        campaign._keep(mine, case.program(), case, "third")
    assert [path.name for path in mine.iterdir()] == ["found.txt"]
    assert (mine / "found.txt").read_text() == "of mine"
