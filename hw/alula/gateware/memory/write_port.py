"""A memory channel's writes through one narrow AXI port."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.hdl.axi import BOUNDARY, MAX_BURST, Burst, writer
from alula.gateware.hdl.skid_buffer import SkidBuffer
from alula.gateware.memory.windows import chip_address


class WritePort(Component):
    """One wide AXI writer in front, a narrow AXI port behind: a beat leaves in parts.

    All ports are registered.

    Args:
        parts: Of a beat, a power of two, at least 2.
        beat_bytes: Bytes of a beat in front, at least `BOUNDARY / MAX_BURST` times as many as
            parts: then a burst of 4 KiB is one burst behind, too.
        address_bits: Of an address in front, which counts from the memory's first byte.
        chip_bits: Of an address behind.
        windows: Where the memory lies; see `chip_address`.

    Members:
        whole: AXI, slave. Bursts are of whole beats (INCR) and cross no multiple of 4 KiB.
        axi: The narrow port.
    """

    def __init__(
        self,
        *,
        parts: int,
        beat_bytes: int,
        address_bits: int,
        chip_bits: int,
        windows: Sequence[tuple[int, int]] = (),
    ) -> None:
        if parts < 2 or parts & parts - 1:
            raise ValueError(f"parts must be a power of two, at least 2, not {parts}")
        least = parts * BOUNDARY // MAX_BURST
        if not least <= beat_bytes <= BOUNDARY or beat_bytes & beat_bytes - 1:
            raise ValueError(
                f"beat_bytes must be a power of two, {least} to {BOUNDARY}, not {beat_bytes}"
            )
        self.parts, self.beat_bytes = parts, beat_bytes
        self.address_bits, self.chip_bits = address_bits, chip_bits
        self.windows = tuple(windows)
        super().__init__(
            {
                "whole": In(writer(address_bits, beat_bytes)),
                "axi": Out(writer(chip_bits, beat_bytes // parts)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        self._address(m)
        self._data(m)
        m.submodules.b = answers = SkidBuffer(shape=2)
        m.d.comb += [
            answers.items.payload.eq(self.axi.bresp),
            answers.items.valid.eq(self.axi.bvalid),
            self.axi.bready.eq(answers.items.ready),
            self.whole.bresp.eq(answers.taken.payload),
            self.whole.bvalid.eq(answers.taken.valid),
            answers.taken.ready.eq(self.whole.bready),
        ]
        return m

    def _address(self, m: Module) -> None:
        whole, port = self.whole, self.axi
        power, parts = (self.beat_bytes - 1).bit_length(), (self.parts - 1).bit_length()
        shape = data.StructLayout({"address": self.chip_bits - power, "last": 8 - parts})
        m.submodules.aw = buffer = SkidBuffer(shape=shape)
        ask = buffer.taken.payload
        address = chip_address(m, whole.awaddr, self.windows, bits=self.chip_bits)
        m.d.comb += [
            buffer.items.payload.address.eq(address[power:]),
            buffer.items.payload.last.eq(whole.awlen),
            buffer.items.valid.eq(whole.awvalid),
            whole.awready.eq(buffer.items.ready),
            port.awaddr.eq(ask.address << power),
            port.awlen.eq(Cat(Const(self.parts - 1, parts), ask.last)),
            port.awsize.eq(power - parts),
            port.awburst.eq(Burst.INCR),
            port.awvalid.eq(buffer.taken.valid),
            buffer.taken.ready.eq(port.awready),
        ]

    def _data(self, m: Module) -> None:
        """Take a beat apart; the next comes in while the last part leaves."""
        whole, port, width = self.whole, self.axi, self.beat_bytes // self.parts
        shape = data.StructLayout({"data": 8 * width, "strobe": width, "last": 1})
        m.submodules.w = buffer = SkidBuffer(shape=shape)
        held, strobe = Signal(8 * self.beat_bytes), Signal(self.beat_bytes)
        holds, ends = Signal(), Signal()
        place, moves = Signal(self.parts), Signal()
        part = buffer.items.payload
        m.d.comb += [
            moves.eq(~holds | buffer.items.ready),
            whole.wready.eq(~holds | (buffer.items.ready & place[-1])),
            buffer.items.valid.eq(holds),
            part.data.eq(held[: 8 * width]),
            part.strobe.eq(strobe[:width]),
            part.last.eq(ends & place[-1]),
            port.wdata.eq(buffer.taken.payload.data),
            port.wstrb.eq(buffer.taken.payload.strobe),
            port.wlast.eq(buffer.taken.payload.last),
            port.wvalid.eq(buffer.taken.valid),
            buffer.taken.ready.eq(port.wready),
        ]
        with m.If(whole.wready):
            m.d.sync += [
                held.eq(whole.wdata),
                strobe.eq(whole.wstrb),
                ends.eq(whole.wlast),
                holds.eq(whole.wvalid),
                place.eq(1),
            ]
        with m.Elif(moves):
            m.d.sync += [
                held.eq(held >> 8 * width),
                strobe.eq(strobe >> width),
                place.eq(place << 1),
            ]
