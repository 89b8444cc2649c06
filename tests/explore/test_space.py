"""Spaces: points by number, and the questions that they ask."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.explore.conftest import VALUES

from alula.design import DesignError, load_design
from alula.explore import Sweep
from alula.explore.evaluation import key
from alula.explore.models import _formats
from alula.explore.space import DesignSpace
from alula.ir.shapes import SHAPES


def test_numbers_are_all_combinations_the_last_axis_fastest(small_sweep) -> None:
    space = DesignSpace.of(small_sweep())
    assert space.count == 36
    values = [space.values(number) for number in range(36)]
    assert [value["clock_mhz"] for value in values[:3]] == [40, 80, 40]
    assert len({str(value) for value in values}) == 36
    numbers = np.arange(36)
    assert (space.number(space.places(numbers)) == numbers).all()


def test_a_question_has_what_its_values_say(small_sweep) -> None:
    change = {
        "fixed": {"buffers.staging_kib": 8},
        "axes": {"memory": [{"beat_bytes": 8, "capacity_mib": 32}], "context": [48]},
        "prompt": 8,
    }
    values = {name: value for name, value in VALUES.items() if name != "context"} | change
    space = DesignSpace.of(Sweep.from_mapping(values, "s.yaml"))
    question = space.question(space.values(0))
    changed = {"buffers.staging_kib": 8, "memory.beat_bytes": 8, "memory.capacity_mib": 32}
    assert question.design == load_design("nano").replace(changed)
    assert (question.context, question.prompt, question.tokens) == (48, 8, 64)


def test_what_is_no_design_is_an_error(small_sweep) -> None:
    space = DesignSpace.of(small_sweep())
    with pytest.raises(DesignError, match=r"^must be a multiple of 2 .mpe.tokens., not 3"):
        space.question(space.values(12))


@pytest.mark.parametrize(
    "change",
    [
        {"context": 33},
        {"prompt": 17},
        {"base": "tiny"},
        {"model": "smollm2-135m"},
        {"recipe": "w3"},
        {"fixed": {"buffers.staging_kib": 8}},
        {"clock": "declared"},
        {"perplexities": [{"model": "small", "value": 12.5, "about": "measured"}]},
        {"perplexities": [{"model": "small", "ratio": 1.25, "about": "measured"}]},
    ],
)
def test_another_question_has_another_key(small_sweep: Callable[..., Sweep], change) -> None:
    keys = set()
    for sweep in (small_sweep(), small_sweep(**change), small_sweep(name="other", seed=7)):
        space = DesignSpace.of(sweep)
        keys.add(key(space.question(space.values(0)), sweep))
    assert len(keys) == 2


def test_other_code_has_another_key(small_sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    from alula.explore import evaluation

    sweep = small_sweep()
    question = DesignSpace.of(sweep).question({"sfu.lanes": 2})
    before = key(question, sweep)
    monkeypatch.setattr(evaluation, "version", lambda: "other")
    assert key(question, sweep) != before


@pytest.mark.parametrize(
    "more",
    [
        "budget: {bytes_per_token: 9}",
        "attention: {local: 2}\nrules: [{units: all, bits: 4}]",
        "rules: [{units: layers, mix: {formats: [W4, W3], stored_bits: 4}}]",
    ],
)
def test_a_recipe_of_more_than_rules_is_refused(tmp_path: Path, more: str) -> None:
    """Its formats, or what attention costs, would not be those of the sweep's rows."""
    path = tmp_path / "recipe.yaml"
    path.write_text(f"name: test\n{more}\n")
    part = "a mix" if "mix" in more else more.partition(":")[0]
    with pytest.raises(DesignError, match=f"must be a recipe of rules alone, not one with {part}"):
        _formats(str(path), SHAPES["smollm2-135m"])
