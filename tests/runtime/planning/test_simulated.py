"""Cycles of the gateware as an estimator: taken apart, kept in a file, planned with."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.shapes import FAMILIES

from alula.cost import Cost, predict, simulate
from alula.design import load_design
from alula.ir.shapes import SHAPES
from alula.mapper import DoesNotFit
from alula.runtime import PlanError, plan
from alula.runtime.planning.devices import Devices
from alula.runtime.planning.planner import planner
from alula.runtime.planning.simulated import SimulatedCycles
from alula.runtime.planning.work import work_of
from alula.runtime.rtl_calibration import simulate_cycles

NAME = "llama"
SHAPE = replace(FAMILIES[NAME], layers=3)


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHAPES, NAME, SHAPE)


class Modelled:
    """Stands for the gateware: what the cycle model says of a run, in whole cycles."""

    def __init__(self, design: Any, progress: Any) -> None:
        self.design = design

    def __enter__(self) -> "Modelled":
        return self

    def __exit__(self, *_: object) -> None: ...

    def run(self, *run: Any, **parts: Any) -> Cost:
        found = predict(self.design, *run, **parts)
        return replace(found, cycles=round(found.cycles))


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(simulate, "Simulator", Modelled)
    path = tmp_path / "cycles.yaml"
    simulate_cycles(NAME, "nano", [8, 16]).save(path)
    return path


def accelerator(cycles: Path, **more: Any) -> Devices:
    values = {"kind": "accelerator", "design": "nano", "format": "contract"}
    values |= {"rtl_cycles": str(cycles), **more}
    return Devices.from_mapping({"name": "one", "devices": {"accel": values}}, "one")


def test_units_add_up_to_the_run(file: Path) -> None:
    found = plan(NAME, accelerator(file), prompt=16, new=1)
    design = load_design("nano")
    prefill = predict(design, SHAPE, "prefill", 16, 0, context=17)
    assert found.prefill_s * design.clock_hz == pytest.approx(prefill.cycles, rel=0.01)
    decode = predict(design, SHAPE, "decode", 1, 16, context=17)
    assert found.decode_s * design.clock_hz == pytest.approx(decode.cycles, rel=0.01)
    assert {placed.origin for placed in found.placement} == {"simulated"}
    assert found.notes == ()


def test_between_two_lengths_and_beyond(file: Path) -> None:
    found = plan(NAME, accelerator(file), prompt=12, new=1)
    assert "prefill at 12 tokens interpolated between 8 and 16" in found.notes[0]
    words = "prefill must be of 8 to 16 tokens, which the profile has, not 17; --extrapolate"
    with pytest.raises(PlanError, match=words):
        plan(NAME, accelerator(file), prompt=17, new=1)


def test_an_estimator_may_be_named(file: Path) -> None:
    found = plan(NAME, accelerator(file, estimator="cycles"), prompt=12, new=1)
    assert {placed.origin for placed in found.placement} == {"modelled"}


def test_cycles_of_another_design_or_shape_are_refused(file: Path) -> None:
    with pytest.raises(PlanError, match=r"^simulated cycles must be of the design tiny, .*, not"):
        plan(NAME, accelerator(file, design="tiny"), prompt=8, new=1)
    other = work_of("other", replace(SHAPE, layers=2))
    words = r"^simulated cycles must be of the shape of other, not of llama's \(accel.rtl_cycles\)$"
    with pytest.raises(PlanError, match=words):
        planner("other", accelerator(file), prompt=8, new=1, work=other)


def test_a_design_that_is_too_small_is_refused_before_it_is_built() -> None:
    with pytest.raises(DoesNotFit):
        simulate_cycles("llama2-7b", "nano", [8, 16])


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--target", "accel", "--lengths", "8"), "there must be at least 2 lengths, not 1"),
        (("--target", "accel", "--lengths", "0,8"), "a length must be 1 to"),
        (("--target", "accel", "--design", "nan"), "must be a design file"),
        (("--design", "nano"), "--design must be left out, except with --target accel, not nano"),
    ],
)
def test_the_command_refuses_in_one_line(alula, words: tuple[str, ...], line: str) -> None:
    told = alula("calibrate", NAME, *words)
    assert told.code == 2
    assert line in told.errors[0]


@pytest.mark.slow
def test_the_gatewares_cycles(alula, tmp_path: Path) -> None:
    """On RTL: a file that the command writes, planned with, beside a run of the whole model."""
    out = tmp_path / "cycles.yaml"
    told = alula(
        *("calibrate", NAME, "--target", "accel", "--design", "nano", "--lengths", "4,8"),
        *("--out", str(out)),
    )
    assert told.code == 0, told.errors
    assert told.out.splitlines()[-1].endswith("simulated")
    kept = SimulatedCycles.from_mapping(yaml.safe_load(out.read_text()), str(out))
    assert len(kept.points) == 2 * 2 * 3
    assert all(one.cycles == int(one.cycles) for one in kept.points)
    found = plan(NAME, accelerator(out), prompt=8, new=1)
    design = load_design("nano")
    with simulate.Simulator(design) as simulator:
        prefill = simulator.run(SHAPE, "prefill", 8, 0, context=9)
        decode = simulator.run(SHAPE, "decode", 1, 8, context=9)
    assert found.prefill_s * design.clock_hz == pytest.approx(prefill.cycles, rel=0.02)
    assert found.decode_s * design.clock_hz == pytest.approx(decode.cycles, rel=0.02)
