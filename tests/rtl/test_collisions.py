"""A word that is read while it is written may be anything: block RAM need not say which it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import MemoryInstance, Module, Mux, Shape, Signal, Value
from amaranth.lib.memory import Memory
from tests.rtl.test_broken import broken

from alula.rtl import device


def anything(self: Memory, platform: object) -> Module:
    """`Memory.elaborate` whose clocked reads turn a word over that is written in that cycle."""
    m = Module()
    m.submodules.memory = instance = MemoryInstance(data=self.data, attrs=self.attrs)
    for port in self.write_ports:
        instance.write_port(domain=port.domain, addr=port.addr, data=port.data, en=port.en)
    for number, port in enumerate(self.read_ports):
        stored = Signal(Shape.cast(self.shape).width, name=f"stored_{number}")
        instance.read_port(
            domain=port.domain, addr=port.addr, data=stored, en=port.en, transparent_for=()
        )
        met = Signal(name=f"met_{number}")
        if port.domain != "comb":
            writes = [
                Value.cast(write.en).any() & (write.addr == port.addr) for write in self.write_ports
            ]
            with m.If(port.en):
                m.d.sync += met.eq(sum(writes) != 0)
        m.d.comb += Value.cast(port.data).eq(Mux(met, ~stored, stored))
    return m


@pytest.fixture
def uncertain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Memory, "elaborate", anything)
    monkeypatch.setattr(device, "emitted_top", broken)


@pytest.mark.parametrize("design", [pytest.param("nano", marks=pytest.mark.slow), "nano-sparse"])
def test_no_word_is_used_that_was_written_while_it_was_read(
    uncertain: None, alula: Callable[..., Any], tmp_path: Path, design: str
) -> None:
    words = ("--programs", 40, "--seed", 11, "--design", design, "--out", tmp_path, "--json")
    result = alula("fuzz", *words)
    assert (result.code, result.errors) == (0, [])
    assert result.json["agree"] == 40
