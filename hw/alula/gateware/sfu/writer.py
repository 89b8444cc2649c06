"""Results into the vector buffer along a walk."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from alula.gateware.buffers.ports import vector_write, word
from alula.gateware.sfu.walk import Walk, path

__all__ = ["DEPTH", "LATENCY", "SfuWriter"]

LATENCY = 2
"""Cycles from a word to its write's end."""
DEPTH = 32
"""Words between the start of an operation and their write: a pipeline's worth."""


class SfuWriter(wiring.Component):
    """Whole words to the addresses of a path.

    Args:
        lanes: fp32 values of a word.
        words: of the vector buffer.

    Members:
        start (In): walk along `path`.
        path (In): as of `Walk`.
        beyond (Out): the next word does not exist, `address`; it stays here.
        valid (In): `word` is there; whoever sends it sees to it that there are at most `DEPTH`.
        word (In): the word.
        sent (Out): a word leaves the queue.
        port: a write port of the vector buffer.
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
        """A ring and a walk."""
        m = Module()
        m.submodules.walk = walk = Walk()
        m.submodules.ring = ring = Memory(shape=self.lanes * 32, depth=DEPTH, init=[])
        write = ring.write_port()
        read = ring.read_port(domain="comb")
        level = Signal(range(DEPTH + 1))
        m.d.comb += [
            walk.start.eq(self.start),
            walk.path.eq(self.path),
            walk.next.eq(self.sent),
            write.en.eq(self.valid),
            write.data.eq(self.word),
            self.address.eq(walk.address),
            self.beyond.eq((level != 0) & (walk.address >= self.words)),
            self.port.valid.eq((level != 0) & ~self.beyond),
            self.port.payload["address"].eq(walk.address),
            self.port.payload["data"].eq(read.data),
            self.port.payload["mask"].eq(-1),
            self.sent.eq(self.port.valid & self.port.ready),
        ]
        m.d.sync += [
            level.eq(level + self.valid - self.sent),
            write.addr.eq(write.addr + self.valid),
            read.addr.eq(read.addr + self.sent),
        ]
        return m
