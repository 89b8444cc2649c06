"""What bounds a design, what changes bring, and two designs side by side."""

import pytest
from tests.explore.conftest import SMALL

from alula.cost import predict
from alula.design import load_design
from alula.explore.compare import compare
from alula.explore.explain import explain
from alula.ir.shapes import SHAPES


def test_a_change_brings_what_the_models_say_of_it() -> None:
    few = load_design("kv260").replace({"mpe.tokens": 4, "prefill_chunk": 16})
    found = explain(few, "smollm2-135m", context=256, prompt=64)
    assert (found.bound_by, found.prompt_bound_by) == ("memory", "compute")
    assert found.row.tokens_per_s
    by_name = {change.name: change for change in found.changes}
    wider = by_name["mpe.tokens 8"]
    design = few.replace({"mpe.tokens": 8, "clock_mhz": round(wider.row.mhz or 0)})
    cycles = predict(design, SHAPES["smollm2-135m"], "decode", position=255).cycles
    rate = (wider.row.mhz or 0) * 1e6 / cycles
    assert wider.faster == pytest.approx(rate / found.row.tokens_per_s - 1, abs=1e-6)
    assert (wider.sooner or 0) > 0.2
    assert (wider.lut or 0) > 0
    gains = [change.faster or 0 for change in found.changes if change.row.found]
    assert gains == sorted(gains, reverse=True)
    assert found.first is not None
    assert found.first.name == "recipe w4"
    lost = by_name["memory.beat_bytes 128, memory.ports 8"]
    assert lost.faster is None
    assert lost.row.shortfall
    assert lost.row.shortfall.what == "memory.ports"


def test_what_is_not_needed_takes_less_and_is_as_fast() -> None:
    design = load_design("kv260").replace({"buffers.activation_kib": 1024})
    found = explain(design, "smollm2-135m", context=128, prompt=16)
    spare = {change.name for change in found.spare}
    assert "buffers.activation_kib 512" in spare
    for change in found.spare:
        assert (change.faster or 0) > -0.001
        assert change.row.bram36 is not None
        assert found.row.bram36 is not None
        assert change.row.bram36 <= found.row.bram36


def test_a_model_that_does_not_fit_has_a_shortfall() -> None:
    found = explain("tiny", "llama2-7b")
    assert found.row.shortfall is not None
    assert found.changes == []


def test_side_by_side() -> None:
    other = load_design("nano").replace({"sfu.lanes": 2, "name": "other"})
    found = compare("nano", other, SMALL, context=32, prompt=8)
    assert found.fields == {"name": ("nano", "other"), "sfu.lanes": (4, 2)}
    lut = [row.lut for row in found.rows]
    assert lut[0]
    assert lut[1]
    assert found.ratios["lut"] == lut[1] / lut[0] < 1
    assert found.better("lut") == 1
    assert found.better("ttft_s") == 0
    assert found.better("dsp") == 1
    assert found.better("energy_j") is None
    assert compare("nano", "nano", SMALL, context=32).better("lut") is None
