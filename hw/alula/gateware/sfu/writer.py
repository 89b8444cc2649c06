"""Results into the vector buffer along a path."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from alula.gateware.arithmetic.compare import reaches
from alula.gateware.buffers.ports import vector_write, word
from alula.gateware.hdl.level import level
from alula.gateware.sfu import units
from alula.gateware.sfu.address_generator import AddressGenerator, path

LATENCY = 3
"""Cycles from a word to its write's end."""
DEPTH = 1 << (units.LONGEST + units.RESULT + LATENCY - 1).bit_length()
"""Words between the start of an operation and their write: as many as keep the lanes at a word a
cycle."""


class SfuWriter(wiring.Component):
    """Whole words to the addresses of a path.

    Args:
        lanes: fp32 values of a word.
        words: of the vector buffer.

    Members:
        start (In): write along `path`.
        path (In): see `AddressGenerator`.
        beyond (Out): the next word does not exist, `address`; it stays here.
        valid (In): `word` is there; whoever sends it sees to it that there are at most `DEPTH`.
        word (In): the word.
        sent (Out): a word leaves the queue.
        port: a write port of the vector buffer. Valid and address are registered.
    """

    def __init__(self, *, lanes: int, words: int) -> None:
        self.lanes = lanes
        self.words = words
        super().__init__(
            {
                "start": In(1),
                "path": In(path),
                "beyond": Out(1),
                "address": Out(17),
                "valid": In(1),
                "word": In(word(lanes)),
                "sent": Out(1),
                "port": Out(vector_write(lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A ring and addresses."""
        m = Module()
        m.submodules.addresses = addresses = AddressGenerator()
        m.submodules.ring = ring = Memory(shape=self.lanes * 32, depth=DEPTH, init=[])
        write = ring.write_port()
        read = ring.read_port(domain="comb")
        outside, leads, port = Signal(), Signal(), self.port
        # Words that have no address yet.
        waiting = level(m, enters=self.valid, leaves=leads, most=DEPTH, name="waiting")
        m.d.comb += [
            addresses.start.eq(self.start),
            addresses.path.eq(self.path),
            addresses.next.eq(leads),
            write.en.eq(self.valid),
            write.data.eq(self.word),
            self.address.eq(addresses.address),
            outside.eq(reaches(addresses.address, self.words)),
            leads.eq(waiting.some & ~outside & (~port.valid | port.ready)),
            port.payload.data.eq(read.data),
            port.payload.mask.eq(-1),
            self.sent.eq(port.valid & port.ready),
        ]
        with m.If(leads):
            m.d.sync += [port.valid.eq(1), port.payload.address.eq(addresses.address)]
        with m.Elif(port.ready):
            m.d.sync += port.valid.eq(0)
        m.d.sync += self.beyond.eq(waiting.some & outside)
        with m.If(self.valid):
            m.d.sync += write.addr.eq(write.addr + 1)
        with m.If(self.sent):
            m.d.sync += read.addr.eq(read.addr + 1)
        return m
