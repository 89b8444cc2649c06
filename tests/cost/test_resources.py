"""Resources and clock, estimated without synthesis."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alula.cost.resources import NoEstimate, composition, estimate
from alula.cost.resources.composition import FITTED, SYNTHESISED
from alula.cost.resources.fit import Synthesised, fitted
from alula.cost.resources.modules import KINDS, Dimensions
from alula.design import Design, load_design
from alula.design.shipped import shipped_designs

FILE = json.loads(FITTED.read_text(encoding="utf-8"))
FOUND = json.loads(SYNTHESISED.read_text(encoding="utf-8"))["designs"]
GROWING = {
    "memory.beat_bytes": (16, 32, 64),
    "memory.channels": (1, 2, 4),
    "mpe.tokens": (2, 4, 8),
    "mpe.sparse": (False, True),
    "sfu.lanes": (2, 4, 8, 16),
    "words": (2048, 4096, 8192),
    "groups": (256, 512, 1024),
    "buffers.staging_kib": (4, 8, 16),
    "buffers.program_kib": (16, 32, 64),
}


def roomy(design: Design, changes: dict[str, Any]) -> Design:
    """A design with changes, of a part that has enough."""
    part = {f"part.{name}": 100_000 for name in ("dsp", "bram36", "uram", "lut", "ff")}
    return design.replace({**part, "memory.capacity_mib": 64, **changes})


def sized(sizes: dict[str, Any]) -> Design:
    """A design of these sizes: buffers of as many words, whatever a word is."""
    changes = dict(sizes)
    changes["buffers.vector_kib"] = changes.pop("words") * sizes["sfu.lanes"] * 4 // 1024
    changes["buffers.activation_kib"] = changes.pop("groups") * sizes["mpe.tokens"] * 32 // 1024
    beat = sizes["memory.beat_bytes"] * sizes["memory.channels"]
    changes["buffers.stream_kib"] = 512 * beat // 1024
    return roomy(load_design("nano-sparse"), {"prefill_chunk": 8, **changes})


@pytest.mark.parametrize("name", shipped_designs())
def test_shipped_designs(name: str) -> None:
    design = load_design(name)
    found = estimate(design)
    assert found.dsp == design.dsps
    assert (found.bram36, found.uram) == (design.blocks.bram36, design.blocks.uram)
    assert min(found.lut, found.ff, found.mhz) > 0
    assert "estimated, not synthesised" in str(found)


def test_the_fit_is_that_of_the_data() -> None:
    found = fitted([Synthesised.read(one) for one in FOUND])
    assert found["chips"] == FILE["chips"]


@given(st.data())
def test_more_is_never_smaller(data: st.DataObject) -> None:
    sizes = {key: data.draw(st.sampled_from(of), label=key) for key, of in GROWING.items()}
    key = data.draw(st.sampled_from(sorted(GROWING)), label="what grows")
    more = data.draw(st.sampled_from(GROWING[key][GROWING[key].index(sizes[key]) :]))
    small, large = (estimate(sized({**sizes, key: value})) for value in (sizes[key], more))
    assert large.lut >= small.lut
    assert large.ff >= small.ff
    assert large.dsp >= small.dsp


def test_what_was_not_synthesised_is_said_to_be_extrapolated() -> None:
    kv260 = load_design("kv260")
    assert estimate(kv260).extrapolated == ()
    wide = roomy(kv260, {"buffers.vector_kib": 4096})
    assert estimate(wide).extrapolated == ("words",)
    assert str(estimate(wide)).endswith("not synthesised; extrapolated in words")


def test_a_chip_of_which_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = tmp_path / "fitted.json"
    few.write_text(json.dumps({"chips": {"mult18x18d": FILE["chips"]["mult18x18d"]}}))
    monkeypatch.setattr(composition, "FITTED", few)
    composition.fitted.cache_clear()
    with pytest.raises(NoEstimate, match=r"^DSP48E2 must be among what was synthesised, not only"):
        estimate(load_design("kv260"))
    composition.fitted.cache_clear()


@pytest.mark.slow
def test_the_modules_are_those_of_the_gateware() -> None:
    from alula.synth.verilog import instances, verilog

    for name in ("nano", "nano-sparse"):
        design = load_design(name)
        counts: dict[str, int] = {}
        for one, times in instances(verilog(design)).items():
            kind = one.partition("_")[0]
            counts[kind] = counts.get(kind, 0) + times
        known = {kind.name: kind.count(Dimensions.of(design)) for kind in KINDS}
        assert {kind: count for kind, count in known.items() if count} == counts
