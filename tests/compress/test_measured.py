"""The rows of the accuracy table are of recipes that ship, as they are."""

from typing import Any

import pytest
from benchmarks.compression import WINDOW, rows

from alula.compress.distillation import Distillation
from alula.compress.recipe import load_recipe

ROWS = [row for row in rows() if "recipe" in row]


@pytest.mark.parametrize("row", ROWS, ids=[row["recipe"] for row in ROWS])
def test_a_row_is_of_its_recipe(row: dict[str, Any]) -> None:
    recipe, _ = load_recipe(row["recipe"])
    wanted = recipe.recover
    assert (wanted is None) == ("trained_ratio" not in row)
    if wanted is not None:
        settings = Distillation(**row["training"])
        for name in ("steps", "batch", "rate", "select"):
            assert getattr(settings, name) == getattr(wanted, name)
        assert row["training_tokens"] == wanted.steps * wanted.batch * WINDOW


def test_each_recipe_is_measured_once() -> None:
    names = [row["recipe"] for row in ROWS]
    assert len(set(names)) == len(names)
