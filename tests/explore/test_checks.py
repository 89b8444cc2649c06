"""Points in RTL and in synthesis: which, and what their rows say then."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from alula.chips import Use
from alula.cost.simulate import built_for
from alula.design import Design, load_design
from alula.explore import Sweep, sweep
from alula.explore import checks as checking
from alula.explore.checks import Simulated, groups_of, simulate, widened
from alula.explore.row import Row
from alula.explore.space import DesignSpace
from alula.rtl.emission import emitted_top


def checked(small_sweep: Any, **check: int) -> Sweep:
    return small_sweep(search="all", check=check)


def test_the_front_comes_first_and_designs_are_few(small_sweep) -> None:
    space = DesignSpace.of(checked(small_sweep, simulate=8, most_designs=3))
    rows = {number: Row(space.values(number)) for number in range(36) if number // 12 != 1}
    rows[29] = replace(rows[29], failed="lost")
    best = [24, 0, 26, 30]  # 24 and 0 differ in the chunk alone
    groups = groups_of(space, rows, best)
    chosen = [number for group in groups for number in group]
    assert len(chosen) == len(set(chosen)) == 8
    assert {24, 0, 26} <= set(chosen)
    assert len(groups) <= 3
    sizes = ("sfu.lanes", "buffers.stream_kib")
    for group in groups:
        assert len({tuple(rows[number].values[name] for name in sizes) for number in group}) == 1
    assert 29 not in chosen
    assert groups_of(space, rows, best) == groups


def test_simulated_cycles_take_the_place_of_modelled(
    small_sweep, tmp_path: Path, monkeypatch
) -> None:
    asked: list[float] = []

    def run(question: Any, mhz: float, most: int) -> Simulated:
        asked.append(mhz)
        whole = question.design.sfu.lanes == 4
        return Simulated(cycles=1000.0, modelled=1010.0, layers=2 if whole else 1, whole=whole)

    monkeypatch.setattr(checking, "simulate", run)
    monkeypatch.setattr(checking, "_need_simulator", lambda: None)
    place = tmp_path / "rows"
    plain = sweep(small_sweep(search="all"), processes=0)
    found = sweep(checked(small_sweep, simulate=12, most_designs=12), processes=0, store=place)
    rows = {number: row for number, row in found.rows.items() if row.checked is not None}
    assert len(rows) == len(asked) == 12
    for number, row in rows.items():
        assert row.checked == pytest.approx(0.01)
        if row.values["sfu.lanes"] == 4:
            assert (row.how, row.decode_cycles, row.checked_layers) == ("simulated", 1000, 2)
            assert row.tokens_per_s == pytest.approx((row.mhz or 0) * 1e3)
            assert row.errors["decode_cycles"] == 0
        else:
            assert (row.how, row.checked_layers) == ("modelled", 1)
            assert row.decode_cycles == plain.rows[number].decode_cycles
        assert row.ttft_s == plain.rows[number].ttft_s
    again = sweep(checked(small_sweep, simulate=12, most_designs=12), processes=0, store=place)
    assert len(asked) == 12
    assert again.rows == found.rows


def test_a_run_that_goes_wrong_is_told_in_its_row(small_sweep, monkeypatch) -> None:
    def broken(*_: object) -> Simulated:
        raise RuntimeError("the run must end")

    monkeypatch.setattr(checking, "simulate", broken)
    monkeypatch.setattr(checking, "_need_simulator", lambda: None)
    found = sweep(checked(small_sweep, simulate=2), processes=0)
    assert {row.failed for row in found.failed} == {"in RTL: RuntimeError: the run must end"}
    assert len(found.failed) == 2
    assert found.front


def test_synthesised_resources_take_the_place_of_estimates(small_sweep, monkeypatch) -> None:
    total = SimpleNamespace(total=Use(lut=11, ff=12, dsp=13, bram36=14, uram=15))
    monkeypatch.setattr("alula.synth.synthesise", lambda *_, **__: total)
    monkeypatch.setattr(checking, "_need_synthesiser", lambda: None)
    found = sweep(checked(small_sweep, synthesise=1), processes=0)
    (row,) = (row for row in found.rows.values() if row.resources == "synthesised")
    assert (row.lut, row.ff, row.dsp, row.bram36, row.uram) == (11, 12, 13, 14, 15)
    assert (row.how, row.errors["lut"]) == ("synthesised", 0)
    assert row in found.front


def test_each_point_that_a_sampler_asks_about_is_simulated(
    small_sweep, tmp_path: Path, monkeypatch
) -> None:
    asked: list[int] = []

    def run(question: Any, mhz: float, most: int) -> Simulated:
        asked.append(question.design.sfu.lanes)
        return Simulated(
            cycles=500.0 * question.design.sfu.lanes, modelled=1.0, layers=2, whole=True
        )

    monkeypatch.setattr(checking, "simulate", run)
    monkeypatch.setattr(checking, "_need_simulator", lambda: None)
    asks = small_sweep(cycles="simulated", points=9, clock="declared")
    assert asks.way == "samples"
    place = tmp_path / "rows"
    found = sweep(asks, processes=0, store=place)
    can_be = [row for row in found.rows.values() if row.found]
    assert found.asked == 9
    assert len(can_be) == len(asked) > 0
    for row in can_be:
        assert (row.how, row.decode_cycles) == ("simulated", 500 * row.values["sfu.lanes"])
    fastest, in_front = (
        max(row.tokens_per_s or 0 for row in rows) for rows in (can_be, found.front)
    )
    assert in_front == fastest > 0
    before = len(asked)
    assert sweep(asks, processes=0, store=place).rows == found.rows
    assert len(asked) == before


@pytest.mark.parametrize(
    "change", [{"check": {"simulate": 1}}, {"check": {"synthesise": 1}}, {"cycles": "simulated"}]
)
def test_a_missing_tool_is_told_before_the_search(
    small_sweep, monkeypatch, change: dict[str, Any]
) -> None:
    from alula.explore import evaluation
    from alula.rtl import toolchain
    from alula.synth import SynthError

    def missing() -> None:
        raise toolchain.ToolchainError("a tool must be installed")

    def none() -> None:
        raise SynthError("Yosys must be installed")

    monkeypatch.setattr("alula.rtl.toolchain.toolchain", missing)
    monkeypatch.setattr("alula.synth.yosys", none)
    monkeypatch.setattr(evaluation, "evaluate", lambda *_: pytest.fail("a point was asked about"))
    with pytest.raises((toolchain.ToolchainError, SynthError), match="must be installed"):
        sweep(small_sweep(**change, points=3), processes=0)


@pytest.mark.slow
def test_designs_that_share_a_simulator_differ_in_their_hash_alone() -> None:
    design = load_design("nano")
    other = design.replace({"prefill_chunk": 8, "context_max": 128, "clock_mhz": 40})
    one, *others = (verilog_lines(item) for item in (built_for(design), design, other))
    for lines in others:
        differ = [(this, that) for this, that in zip(one, lines, strict=True) if this != that]
        # The hash is two registers of 32 bits.
        assert len(differ) == 2
        assert all("32'd" in this and "32'd" in that for this, that in differ)


def verilog_lines(design: Design) -> list[str]:
    """The Verilog of a design, its modules named by their classes alone."""
    text = "\n".join(emitted_top(design).modules.values())
    return re.sub(r"\b(Control|Core)_\w+", r"\1", text).splitlines()


@pytest.mark.rtl
@pytest.mark.slow
def test_a_token_in_rtl_is_near_what_the_model_says(small_sweep) -> None:
    space = DesignSpace.of(small_sweep())
    question = space.question({"sfu.lanes": 4})
    whole = simulate(question, 80, 10**9)
    assert (whole.whole, whole.layers) == (True, 2)
    assert whole.modelled == pytest.approx(whole.cycles, rel=0.03)
    part = simulate(question, 80, 10_000)
    assert (part.whole, part.layers) == (False, 1)
    assert part.cycles < whole.cycles
    assert part.modelled == pytest.approx(part.cycles, rel=0.03)


def test_no_row_claims_less_error_than_a_check_found() -> None:
    told = {"decode_cycles": 0.01, "prefill_cycles": 0.03, "mhz": 0.1}
    rows = {
        0: Row({}, errors=told),
        1: Row({}, how="simulated", checked=-0.02, errors={**told, "decode_cycles": 0.0}),
        2: Row({}, checked=0.015, errors={**told, "mhz": None}),
        3: Row({}),
    }
    found = widened(rows)
    assert set(found) == {0, 1, 2}
    assert [found[number].errors["decode_cycles"] for number in found] == [0.02, 0.0, 0.02]
    assert [found[number].errors["prefill_cycles"] for number in found] == [0.03] * 3
    assert found[0].errors["tokens_per_s"] == pytest.approx(1.02 * 1.1 - 1)
    assert found[1].errors["tokens_per_s"] == pytest.approx(0.1)
    assert found[2].errors["tokens_per_s"] is None
    assert rows[0].errors is told
