"""Formats for a budget: what is chosen keeps the ratio as it is measured, or nothing is."""

from collections.abc import Mapping, Sequence
from math import exp
from pathlib import Path

import pytest
import torch

from alula.compress.recipe import FormatBudget, MatrixChoice, Recipe
from alula.design import load_design
from alula.frontend import load as load_checkpoint
from alula.frontend.compressed import matrix_shapes
from alula.progress import silent
from alula.runtime import budgeting
from alula.runtime.budgeting import BudgetChooser
from alula.runtime.compression_texts import Texts
from alula.runtime.errors import RunError

Titles = Mapping[str, Sequence[str]]
TEXTS = Texts([[*range(100, 132)]] * 2, [[*range(120, 152)]], [])


def losses(checkpoint: object, windows: object, apart: object, wanted: Titles, **rest: object):
    """The fewer bits the more, and some matrices more than others."""
    assert (windows, apart) == (TEXTS.calibration, TEXTS.apart)
    return {
        name: {title: 0.03 * 4.0 ** -int(title[1:]) * (1 + place % 5) for title in titles}
        for place, (name, titles) in enumerate(wanted.items())
    }


class Ratios:
    """Stands for measurements: a ratio by the share of matrices in 2 bits."""

    def __init__(self, model: Path) -> None:
        self._checkpoint = load_checkpoint(model)
        self.found: list[float] = []

    def choose(self, most: float, at_least: float, grows: float, **limits: int) -> float | None:
        def ratio(choices: Mapping[str, MatrixChoice], allowed: float) -> float:
            assert allowed == most
            share = sum(one.format == "W2" for one in choices.values()) / len(choices)
            self.found.append(at_least * exp(grows * share))
            return self.found[-1]

        budget = FormatBudget(
            perplexity_ratio=most, formats=["W2", "W3", "W4"], tokens=32, **limits
        )
        chooser = BudgetChooser(
            self._checkpoint,
            load_design("nano"),
            Recipe(name="test", budget=budget),
            "x.yaml",
            torch.device("cpu"),
            silent,
        )
        shape = self._checkpoint.architecture
        names = [name for unit in shape.units for name in matrix_shapes(shape, unit)]
        choices, reached = chooser.choices(
            dict.fromkeys(names, MatrixChoice("W4", "nearest")), TEXTS, ratio
        )
        assert choices.keys() == set(names)
        return reached


@pytest.fixture
def ratios(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> Ratios:
    monkeypatch.setattr(budgeting, "measure", losses)
    return Ratios(small_model)


def test_less_is_asked_for_until_the_ratio_is_kept(ratios: Ratios) -> None:
    reached = ratios.choose(1.1, 1.02, 0.3)
    assert reached is not None
    assert ratios.found[-1] == reached <= 1.1
    assert len(ratios.found) > 1
    assert all(one > 1.1 for one in ratios.found[:-1])
    assert ratios.found == sorted(ratios.found, reverse=True)


def test_the_nearest_that_was_measured_is_told(ratios: Ratios) -> None:
    with pytest.raises(RunError) as caught:
        ratios.choose(1.1, 1.2, 0.3)
    assert 1 < len(ratios.found) <= 6
    assert str(caught.value) == (
        f"a budget must be one that formats keep within, nearest perplexity_ratio "
        f"{min(ratios.found):.4f} (measured), not perplexity_ratio 1.1000 (x.yaml: budget)"
    )


def test_other_limits_hold_meanwhile(ratios: Ratios) -> None:
    with pytest.raises(
        RunError, match=r"nearest bytes_per_token .*, perplexity_ratio 1\.\d+ \(mea"
    ):
        ratios.choose(1.1, 1.08, 0.3, bytes_per_token=82_000)
    assert len(ratios.found) > 1
