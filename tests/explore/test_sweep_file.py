"""Sweep files: what they say, and what a wrong one is told."""

from pathlib import Path
from typing import Any

import pytest
from tests.explore.conftest import VALUES

from alula.design import DesignError, load_design
from alula.design.shipped import shipped_sweeps
from alula.explore import Sweep, load_sweep
from alula.explore.idle import check_axes
from alula.explore.objectives import OBJECTIVES
from alula.explore.space import DesignSpace
from alula.explore.sweep_file import MOST_ENUMERATED, QUESTION


@pytest.mark.parametrize("name", shipped_sweeps())
def test_shipped(name: str) -> None:
    sweep = load_sweep(name)
    assert sweep.name == name
    assert sweep.count > 1


@pytest.mark.parametrize("name", shipped_sweeps())
def test_axes_of_shipped_sweeps_matter(name: str) -> None:
    """Some change what is asked for at few points only."""
    check_axes(DesignSpace.of(load_sweep(name)))


def test_the_shipped_kv260_is_a_point_of_its_sweep() -> None:
    """So the front is at least as good; and the space is one that can be enumerated."""
    sweep, design = load_sweep("kv260-smollm2"), load_design("kv260")
    assert 20_000 <= sweep.count <= MOST_ENUMERATED
    assert (sweep.points or 0) >= 5_000
    assert sweep.check.simulate >= 20
    for key, values in sweep.axes.items():
        own = design.model_dump()
        for step in key.split("."):
            own = own[step]
        fits = [value for value in values if value == own or _part(value, own)]
        assert len(fits) == 1, key


def _part(value: Any, own: Any) -> bool:
    """Whether a mapping of an axis is what the design has."""
    return isinstance(value, dict) and all(own[name] == one for name, one in value.items())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"axes": {}}, "must be at least 1 long, not a mapping (s.yaml: axes)"),
        ({"axes": {"mpe.tokens": []}}, "must be at least 1 long, not a list (s.yaml: axes."),
        ({"axes": {"mpe.tokens": 4}}, "must be a list, not 4 (s.yaml: axes.mpe.tokens)"),
        ({"axes": {"mpe.tokens": [2, 2]}}, "must be distinct values, not 2 twice (s.yaml: axes."),
        ({"axes": {"mpe.token": [2]}}, "must be a field of a design (tokens, accumulator_bits"),
        ({"axes": {"contxt": [2]}}, "must be a field of a design (name, part, clock_mhz, "),
        ({"axes": {"contxt": [2]}}, "did you mean context?"),
        ({"axes": {"mpe": [2]}}, "must be one of its fields (tokens, accumulator_bits or sparse)"),
        ({"axes": {"mpe": [{"token": 2}]}}, "must be a field of a design (tokens, accum"),
        ({"axes": {"clock_mhz.x": [2]}}, "must be a field of a design (no further key), not"),
        ({"fixed": {"sfu.lanes": 2}}, "must be a field that is not fixed, not 'sfu.lanes'"),
        ({"fixed": {"sfu": {"lanes": 2}}}, "must be a field that is not fixed, not 'sfu'"),
        ({"axes": {"context": [0]}}, "must be a whole number of 1 to 16777216, not 0"),
        ({"axes": {"model": ["small"]}}, "must be an axis or given, not both, not 'model'"),
        ({"axes": {"recipe": [3]}}, "must be a name, not 3 (s.yaml: axes.recipe)"),
        (
            {"perplexities": [{"model": "small", "about": "no number"}]},
            "must be value, ratio or both, not neither (s.yaml: perplexities[0])",
        ),
        ({"base": None}, "must be given, or an axis, not missing (s.yaml: base)"),
        ({"objectives": []}, "must be at least 1 long"),
        ({"objectives": ["speed"]}, "must be tokens_per_s, ttft_s, energy_j"),
        ({"objectives": ["lut", "lut"]}, "must be named once, not lut (s.yaml: objectives)"),
        ({"constraints": {"lut": {}}}, "must be at_least or at_most, not neither"),
        ({"constraints": {"luts": {"at_most": 5}}}, "must be tokens_per_s, ttft_s, energy_j"),
        ({"search": "generations"}, "must be given for generations, not missing (s.yaml: points)"),
        ({"speed": 1}, "must be one of the keys name, base, model, recipe, context, "),
        ({"axes": {"clock_mhz": list(range(10_001))}}, "must be at most 10000 long"),
        (
            {"axes": {"prompt": [8, 16]}, "prompt": 16} | {"prompt": 16},
            "must be an axis or given, not both",
        ),
    ],
)
def test_wrong_values(change: dict[str, Any], words: str) -> None:
    with pytest.raises(DesignError) as caught:
        Sweep.from_mapping(VALUES | change, "s.yaml")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_prompt_that_nobody_asks_about() -> None:
    values = {key: value for key, value in VALUES.items() if key != "prompt"}
    values["axes"] = {"prompt": [8, 16]}
    with pytest.raises(DesignError, match=r"it cannot matter, not given \(s.yaml: axes.prompt\)$"):
        Sweep.from_mapping(values, "s.yaml")
    values["constraints"] = {"ttft_s": {"at_most": 1}}
    assert Sweep.from_mapping(values, "s.yaml").count == 2


def test_large_spaces_are_bred() -> None:
    axes = {"clock_mhz": list(range(1, 1000)), "prefill_chunk": list(range(2, 250, 2))}
    axes["context_max"] = [32, 64]
    values = VALUES | {"axes": axes, "points": 10}
    sweep = Sweep.from_mapping(values, "s.yaml")
    assert sweep.count > MOST_ENUMERATED
    assert sweep.way == "generations"
    with pytest.raises(DesignError, match=r"^must be generations or samples"):
        Sweep.from_mapping(values | {"search": "all"}, "s.yaml")


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(DesignError, match=r"^must be a sweep file, or .*, not a missing one"):
        load_sweep(tmp_path / "none.yaml")


def test_the_schema_knows_every_objective() -> None:
    text = Sweep.schema_text()
    assert all(f'"{name}"' in text for name in OBJECTIVES)
    assert set(QUESTION) <= set(Sweep.model_fields) | {"base"}
