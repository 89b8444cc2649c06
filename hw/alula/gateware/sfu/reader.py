"""Reads of the vector buffer along a path, the words in a queue."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from alula.gateware.arithmetic.compare import reaches
from alula.gateware.buffers.ports import vector_read, word
from alula.gateware.hdl.delay import delayed
from alula.gateware.hdl.fifo import LATENCY as QUEUE_LATENCY
from alula.gateware.hdl.fifo import RegisteredFifo
from alula.gateware.hdl.level import level
from alula.gateware.sfu.address_generator import AddressGenerator, path

DEPTH = 32
"""Words asked for and not yet taken: it covers the buffer's latency and the longest pipeline."""
REQUEST = 2
"""Cycles from `start` to the first address at the buffer."""


class SfuReader(wiring.Component):
    """Words of the vector buffer along a path, ahead of their use.

    A word is reserved when the operation that needs it starts, and taken, in the same cycle or
    later, when it reaches the unit that needs it.

    Args:
        lanes: fp32 values of a word.
        words: of the vector buffer.

    Members:
        start (In): read along `path`; only when idle.
        path (In): see `AddressGenerator`.
        counted (In): words of each level 0 that count, as `path`; those behind them only fill a
            group.
        beyond (Out): the address is of a word that counts and does not exist, `address`.
        port: a read port of the vector buffer. Requests are registered.
        valid (Out): there is a word that is not reserved.
        reserve (In): the first such word; only with `valid`.
        take (In): the first word of all; it has been reserved or is being.
        word (Out): the first word of all, a register.
        idle (Out): every word is read and taken.
    """

    def __init__(self, *, lanes: int, words: int) -> None:
        self.lanes = lanes
        self.words = words
        super().__init__(
            {
                "start": In(1),
                "path": In(path),
                "counted": In(16),
                "beyond": Out(1),
                "address": Out(17),
                "port": Out(vector_read(lanes)),
                "valid": Out(1),
                "reserve": In(1),
                "take": In(1),
                "word": Out(word(lanes)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Addresses, a queue of words, and three counts."""
        m = Module()
        m.submodules.addresses = addresses = AddressGenerator()
        m.submodules.words = words = RegisteredFifo(shape=word(self.lanes), depth=DEPTH + 1)

        request, data = self.port.request, self.port.data
        asks, lost = Signal(), Signal()
        came = delayed(m, data.valid, QUEUE_LATENCY - 1, name="came")[-1]
        # Asked for and not taken; arrived and not reserved.
        asked = level(m, enters=asks, leaves=self.take, most=DEPTH, name="asked")
        free = level(m, enters=came, leaves=self.reserve, most=DEPTH, name="free")
        self._bound(m, addresses, lost)
        m.d.comb += [
            addresses.start.eq(self.start),
            addresses.path.eq(self.path),
            asks.eq(addresses.active & asked.room & (~request.valid | request.ready) & ~lost),
            addresses.next.eq(asks),
            words.items.valid.eq(data.valid),
            words.items.payload.eq(data.payload),
            words.taken.ready.eq(self.take),
            self.word.eq(words.taken.payload),
            self.valid.eq(free.some),
            self.idle.eq(~addresses.active & ~asked.some),
        ]
        with m.If(asks):
            m.d.sync += [request.valid.eq(1), request.payload.eq(addresses.address)]
        with m.Elif(request.ready):
            m.d.sync += request.valid.eq(0)
        return m

    def _bound(self, m: Module, addresses: AddressGenerator, lost: Signal) -> None:
        """Whether the word at the address counts and does not exist."""
        left, counts = Signal(16), Signal()
        m.d.comb += [
            lost.eq(reaches(addresses.address, self.words) & counts),
            self.address.eq(addresses.address),
        ]
        m.d.sync += self.beyond.eq(addresses.active & lost)
        with m.If(self.start | (addresses.next & addresses.turn)):
            m.d.sync += [left.eq(self.counted), counts.eq(self.counted.any())]
        with m.Elif(addresses.next):
            m.d.sync += [left.eq(left - 1), counts.eq(counts & (left != 1))]
