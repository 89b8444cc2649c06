"""A memory channel's reads, dealt out to several narrow AXI ports."""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.memory import Memory, ReadPort
from amaranth.lib.wiring import Component, In, Out

from alula.design.memory_ports import KEPT, kept_beats, stripe_bytes
from alula.gateware.hdl.axi import BOUNDARY, Burst, reader
from alula.gateware.hdl.fifo import RegisteredFifo
from alula.gateware.hdl.skid_buffer import SkidBuffer
from alula.gateware.memory.windows import chip_address

OWED = 16
"""Stripes that a port may owe; at most `KEPT`."""


class ReadPorts(Component):
    """One wide AXI reader in front; behind it narrow AXI ports, all before the same memory.

    A burst is cut at multiples of `stripe_bytes`, and each stripe goes to one port: to the next in
    turn, but for those that owe `OWED` stripes. So a port that is slower, as one that shares its
    way to the memory, gets fewer. Stripes come back in any order between ports; each waits in its
    port's buffer until it is there as a whole and has its turn. A port is asked for no more than
    its buffer has room for, so that no port's data ever wait.

    All ports are registered.

    Args:
        ports: Narrow ports, a power of two, at least 2.
        beat_bytes: Bytes of a beat in front; behind, a beat has a port's share of them.
        address_bits: Of an address in front, which counts from the memory's first byte.
        chip_bits: Of an address behind.
        windows: Where the memory lies; see `chip_address`.

    Members:
        whole: AXI, slave. Bursts are of whole beats (INCR) and cross no multiple of 4 KiB.
        axi: The narrow ports.
    """

    def __init__(
        self,
        *,
        ports: int,
        beat_bytes: int,
        address_bits: int,
        chip_bits: int,
        windows: Sequence[tuple[int, int]] = (),
    ) -> None:
        if ports < 2 or ports & ports - 1:
            raise ValueError(f"ports must be a power of two, at least 2, not {ports}")
        if not ports <= beat_bytes <= BOUNDARY // 4 or beat_bytes & beat_bytes - 1:
            most = BOUNDARY // 4
            raise ValueError(
                f"beat_bytes must be a power of two, {ports} to {most}, not {beat_bytes}"
            )
        self.ports, self.beat_bytes = ports, beat_bytes
        self.address_bits, self.chip_bits = address_bits, chip_bits
        self.windows = tuple(windows)
        super().__init__(
            {
                "whole": In(reader(address_bits, beat_bytes)),
                "axi": Out(reader(chip_bits, beat_bytes // ports)).array(ports),
            }
        )
        self._power = (beat_bytes - 1).bit_length()
        beats = range(stripe_bytes(beat_bytes) // beat_bytes)
        # A stripe: its first beat, its beats less one, and whether it ends its burst.
        address = chip_bits - self._power
        self._stripe = data.StructLayout({"address": address, "last": beats, "ends": 1})
        # What comes of it: from which port, and the rest.
        self._turn = data.StructLayout({"port": range(ports), "last": beats, "ends": 1})

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        stripe, dealt, can = Signal(self._stripe), Signal(self.ports), Signal(self.ports)
        self._cut(m, stripe, dealt, can)
        m.submodules.order = order = RegisteredFifo(shape=self._turn, depth=self.ports * KEPT + 1)
        turn = order.items.payload
        m.d.comb += [
            order.items.valid.eq(dealt.any()),
            turn.last.eq(stripe.last),
            turn.ends.eq(stripe.ends),
        ]
        for number in range(self.ports):
            with m.If(dealt[number]):
                m.d.comb += turn.port.eq(number)
        taken = Signal(self.ports)
        there, begun, reads = Signal(self.ports), Signal(self.ports), Signal(self.ports)
        buffers = []
        for number in range(self.ports):
            asks = self._ask(m, number, stripe, dealt[number])
            buffers.append(self._buffer(m, number, reads[number]))
            can_ask, waits = self._count(m, number, dealt[number], begun[number], taken[number])
            m.d.sync += can[number].eq(can_ask & asks)
            m.d.comb += there[number].eq(waits)
        goes, now = self._turns(m, order, there, begun, taken)
        self._join(m, goes, now, buffers, reads)
        return m

    def _cut(self, m: Module, stripe: data.View, dealt: Value, can: Value) -> None:
        """Cut bursts into stripes. One is dealt to a port every three cycles, of those that `can`.

        Which they are is known anew in the second cycle behind a deal.
        """
        whole, page = self.whole, BOUNDARY.bit_length() - 1
        above, beat = Signal(self.chip_bits - page), Signal(page - self._power)
        left, room, short = Signal(8), Signal(len(stripe.last)), Signal()
        turn, chosen = Signal(range(self.ports)), Signal(self.ports)
        address = chip_address(m, whole.araddr, self.windows, bits=self.chip_bits)
        first = Cat(beat, above)
        m.d.comb += [
            stripe.address.eq(first),
            room.eq(~beat[: len(room)]),
            short.eq(left <= room),
        ]
        m.d.sync += [stripe.ends.eq(short), stripe.last.eq(Mux(short, left, room))]
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += whole.arready.eq(1)
                m.d.sync += [first.eq(address[self._power :]), left.eq(whole.arlen)]
                with m.If(whole.arvalid):
                    m.next = "Cut"
            with m.State("Cut"):
                m.next = "Choose"
            with m.State("Choose"):
                m.d.sync += chosen.eq(0)
                for start in range(self.ports):
                    with m.If(turn == start):
                        for distance in reversed(range(self.ports)):
                            number = (start + distance) % self.ports
                            with m.If(can[number]):
                                m.d.sync += chosen.eq(1 << number)
                m.next = "Deal"
            with m.State("Deal"):
                m.d.comb += dealt.eq(chosen)
                m.next = "Choose"
                for number in range(self.ports):
                    with m.If(chosen[number]):
                        m.d.sync += turn.eq((number + 1) % self.ports)
                with m.If(chosen.any()):
                    m.d.sync += [
                        beat.eq(beat + stripe.last + 1),
                        left.eq(left - stripe.last - 1),
                    ]
                    m.next = "Cut"
                    with m.If(stripe.ends):
                        m.next = "Idle"

    def _ask(self, m: Module, number: int, stripe: data.View, dealt: Value) -> Value:
        """Ask a port for the stripe that it is dealt. Return whether it can take another."""
        m.submodules[f"ar_{number}"] = buffer = SkidBuffer(
            shape=data.StructLayout({"address": len(stripe.address), "last": len(stripe.last)})
        )
        port, ask = self.axi[number], buffer.taken.payload
        parts = (self.ports - 1).bit_length()
        m.d.comb += [
            buffer.items.payload.address.eq(stripe.address),
            buffer.items.payload.last.eq(stripe.last),
            buffer.items.valid.eq(dealt),
            port.araddr.eq(ask.address << self._power),
            port.arlen.eq(Cat(Const(self.ports - 1, parts), ask.last)),
            port.arsize.eq(self._power - parts),
            port.arburst.eq(Burst.INCR),
            port.arvalid.eq(buffer.taken.valid),
            buffer.taken.ready.eq(port.arready),
        ]
        return buffer.items.ready

    def _buffer(self, m: Module, number: int, reads: Value) -> list[ReadPort]:
        """Keep what a port sends. Return the memories' ports that read the parts of a beat.

        Each part of a beat has a memory of its own: they are written in turn and read together.
        """
        port, depth = self.axi[number], kept_beats(self.beat_bytes)
        came = Signal(name=f"came_{number}")
        part = Signal(data.StructLayout({"data": len(port.rdata), "response": 2}))
        place = Signal(self.ports, init=1, name=f"place_{number}")
        write_row = Signal(range(depth), name=f"write_row_{number}")
        read_row = Signal(range(depth), name=f"read_row_{number}")
        m.d.comb += port.rready.eq(1)
        m.d.sync += [came.eq(port.rvalid), part.data.eq(port.rdata), part.response.eq(port.rresp)]
        with m.If(came):
            m.d.sync += place.eq(place.rotate_left(1))
        with m.If(came & place[-1]):
            m.d.sync += write_row.eq(write_row + 1)
        with m.If(reads):
            m.d.sync += read_row.eq(read_row + 1)
        ports = []
        for index in range(self.ports):
            memory = Memory(shape=part.shape(), depth=depth, init=[])
            m.submodules[f"part_{number}_{index}"] = memory
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [
                write.addr.eq(write_row),
                write.data.eq(part),
                write.en.eq(came & place[index]),
                read.addr.eq(read_row),
                read.en.eq(reads),
            ]
            ports.append(read)
        return ports

    def _count(
        self, m: Module, number: int, dealt: Value, begun: Value, taken: Value
    ) -> tuple[Value, Value]:
        """Count a port's stripes. Return whether it may have another, and whether one is there."""
        port = self.axi[number]
        owed = Signal(range(OWED + 1), name=f"owed_{number}")
        kept = Signal(range(KEPT + 1), name=f"kept_{number}")
        whole = Signal(range(KEPT + 1), name=f"whole_{number}")
        # All but what is dealt is counted a cycle later.
        ended, freed = Signal(name=f"ended_{number}"), Signal(name=f"freed_{number}")
        left = Signal(name=f"left_{number}")
        m.d.sync += [
            ended.eq(port.rvalid & port.rlast),
            freed.eq(taken),
            left.eq(begun),
            owed.eq(owed + dealt - ended),
            kept.eq(kept + dealt - freed),
            whole.eq(whole + ended - left),
        ]
        return (owed != OWED) & (kept != KEPT), whole != 0

    def _turns(
        self, m: Module, order: RegisteredFifo, there: Value, begun: Value, taken: Value
    ) -> tuple[Signal, data.View]:
        """Begin with the next stripe once it is there. Return whether a beat is read, and of which.

        `taken`: the last beat of a stripe is read; `begun`: of the next, the first one may be.
        """
        coming, waits, arrived = Signal(self._turn), Signal(), Signal()
        now, holds, last = Signal(self._turn), Signal(), Signal()
        begins, goes, over = Signal(), Signal(), Signal()
        m.d.comb += [
            goes.eq(holds & (~self.whole.rvalid | self.whole.rready)),
            over.eq(goes & last),
            begins.eq(arrived & (~holds | over)),
            begun.eq(Mux(begins, 1 << coming.port, 0)),
            taken.eq(Mux(over, 1 << now.port, 0)),
            order.taken.ready.eq(~waits),
        ]
        # Behind a beginning `there` is true again once the next stripe is looked at.
        m.d.sync += arrived.eq(waits & ~begins & Array(there)[coming.port])
        with m.If(~waits):
            m.d.sync += [waits.eq(order.taken.valid), coming.eq(order.taken.payload)]
        with m.If(begins):
            m.d.sync += [waits.eq(0), holds.eq(1), now.eq(coming), last.eq(coming.last == 0)]
        with m.Elif(over):
            m.d.sync += holds.eq(0)
        with m.Elif(goes):
            m.d.sync += [now.last.eq(now.last - 1), last.eq(now.last == 1)]
        ends = Signal(data.StructLayout({"port": len(now.port), "ends": 1}))
        m.d.comb += [ends.port.eq(now.port), ends.ends.eq(now.ends & last)]
        return goes, ends

    def _join(
        self,
        m: Module,
        goes: Value,
        now: data.View,
        buffers: list[list[ReadPort]],
        reads: Value,
    ) -> None:
        """Read a beat, and in the next cycle choose it among what the buffers of all ports show."""
        whole, left, read = self.whole, Signal(), Signal.like(now)
        m.d.comb += reads.eq(Mux(goes, 1 << now.port, 0))
        chosen = Signal(data.ArrayLayout(buffers[0][0].data.shape(), self.ports))
        m.d.comb += chosen.eq(Array(Cat(port.data for port in each) for each in buffers)[read.port])
        bad = Cat(part.response[1] for part in chosen)
        with m.If(~whole.rvalid | whole.rready):
            m.d.sync += [
                left.eq(goes),
                read.eq(now),
                whole.rvalid.eq(left),
                whole.rlast.eq(read.ends),
                whole.rdata.eq(Cat(part.data for part in chosen)),
                # The error of a part is that of the beat; of several, any.
                whole.rresp[0].eq((Cat(part.response[0] for part in chosen) & bad).any()),
                whole.rresp[1].eq(bad.any()),
            ]
