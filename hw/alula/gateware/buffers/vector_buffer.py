"""The vector buffer: fp32 words of `lanes`, in four banks."""

from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Member, Out
from amaranth.utils import ceil_log2

from alula.design.engines import VECTOR_BANKS as BANKS
from alula.gateware.buffers.arbiter import Arbiter
from alula.gateware.hdl.delay import delayed
from alula.gateware.hdl.level import level

READ_LATENCY = 4
"""Cycles from a request of `a` or `b` to its data, where no bank is wanted twice."""
_HELD = 7
"""Words of `store` between request and departure: as many as keep it at a word a cycle."""
_BANK_BITS = ceil_log2(BANKS)
_READERS = ("a", "b", "store")
_WRITERS = ("misc", "mpe", "load")


def address_bits(words: int) -> int:
    """Bits of a word's address."""
    return ceil_log2(words)


def write_layout(words: int, lanes: int) -> data.StructLayout:
    """A word to be written, in the lanes that `mask` names."""
    return data.StructLayout(
        {"address": address_bits(words), "data": data.ArrayLayout(32, lanes), "mask": lanes}
    )


class VectorBuffer(Component):
    """Three readers and three writers; a bank serves one of each in a cycle.

    The low bits of an address are its bank. Readers and writers that want the same bank take
    turns (`Arbiter`); on consecutive words each reader gets, and each writer puts, a word a cycle.
    A word that has been written (transfer in cycle t) is read by requests from t + 1.

    Every request and write is taken into a register, whether or not it gets its bank at once; one
    that does not is asked for from there, and its port is not ready meanwhile. Banks work two
    cycles after they were given, from registers. No output depends on an input of the same cycle.

    Args:
        words: Words of the buffer, a multiple of 4.
        lanes: fp32 values of a word.

    Members:
        request_a, request_b, request_store: Streams of addresses.
        data_a, data_b, data_store: Streams of words, in the order of their requests. `a` and `b`
            take a word when it comes.
        write_misc, write_mpe, write_load: Streams of `write_layout(words, lanes)`.
    """

    def __init__(self, *, words: int, lanes: int) -> None:
        if words < 2 * BANKS or words % BANKS:
            raise ValueError(
                f"words must be a multiple of {BANKS}, at least {2 * BANKS}, not {words}"
            )
        if lanes < 1:
            raise ValueError(f"lanes must be at least 1, not {lanes}")
        self.words, self.lanes = words, lanes
        members: dict[str, Member] = {}
        word = data.ArrayLayout(32, lanes)
        for name in _READERS:
            reply = stream.Signature(word, always_ready=name != "store")
            members[f"request_{name}"] = In(stream.Signature(address_bits(words)))
            members[f"data_{name}"] = Out(reply)
        for name in _WRITERS:
            members[f"write_{name}"] = In(stream.Signature(write_layout(words, lanes)))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        reads, writes = [], []
        for bank in range(BANKS):
            shape = unsigned(32 * self.lanes)
            memory = Memory(shape=shape, depth=self.words // BANKS, init=[])
            m.submodules[f"bank_{bank}"] = memory
            reads.append(memory.read_port())
            writes.append(memory.write_port(granularity=32))
        self._read(m, reads, self._write(m, writes))
        return m

    def _write(self, m: Module, ports: list) -> Signal:
        """Return the banks for which a write waits that has been transferred."""
        m.submodules.writers = arbiter = Arbiter(clients=len(_WRITERS), banks=BANKS)
        held = Array(
            self._taken(m, arbiter, client, getattr(self, f"write_{name}"), Const(1))
            for client, name in enumerate(_WRITERS)
        )
        for bank, port in enumerate(ports):
            chosen = held[arbiter.client[bank]]
            _register(
                m,
                f"write_{bank}",
                (port.addr, chosen.address[_BANK_BITS:]),
                (port.data, chosen.data),
                (port.en, Mux(arbiter.taken[bank], chosen.mask, 0)),
            )
        late, loses = Signal(BANKS), Signal(len(_WRITERS))
        m.d.comb += loses.eq(arbiter.want & ~arbiter.granted)
        for bank in range(BANKS):
            waits = [loses[client] & (at == bank) for client, at in enumerate(arbiter.bank)]
            m.d.sync += late[bank].eq(Cat(waits).any())
        return late

    def _read(self, m: Module, ports: list, late: Signal) -> None:
        m.submodules.readers = arbiter = Arbiter(clients=len(_READERS), banks=BANKS)
        m.d.comb += arbiter.closed.eq(late)
        words = [
            Signal(32 * self.lanes, name=f"word_{bank}", reset_less=True) for bank in range(BANKS)
        ]
        m.d.sync += [word.eq(port.data) for word, port in zip(words, ports, strict=True)]
        room, held = Signal(), []
        for client, name in enumerate(_READERS):
            request, reply = getattr(self, f"request_{name}"), getattr(self, f"data_{name}")
            stores = name == "store"
            held.append(self._taken(m, arbiter, client, request, room if stores else Const(1)))
            bank = delayed(m, held[-1][:_BANK_BITS], 3, name=f"bank_{name}", reset_less=True)[-1]
            granted = arbiter.granted[client]
            coming = delayed(m, granted, READ_LATENCY, name=f"coming_{name}")[-1]
            word = Array(words)[bank]
            if stores:
                self._queue(m, coming, word, room)
            else:
                m.d.comb += [reply.valid.eq(coming), reply.payload.eq(word)]
        for bank, port in enumerate(ports):
            _register(
                m,
                f"read_{bank}",
                (port.addr, Array(held)[arbiter.client[bank]][_BANK_BITS:]),
                (port.en, arbiter.taken[bank]),
            )

    def _taken(self, m: Module, arbiter: Arbiter, client: int, port: Any, room: Value) -> Any:
        """Take what a client asks for where there is `room`; return what was taken last."""
        asked = port.payload
        held = Signal.like(asked, name=f"held_{client}", reset_less=True)
        # Of `waits` also its opposite: what asks has no time to turn it.
        waits, free = Signal(name=f"waits_{client}"), Signal(init=1, name=f"free_{client}")
        comes = port.valid & port.ready

        def bank(item: Any) -> Value:
            return (item.address if isinstance(item, data.View) else item)[:_BANK_BITS]

        m.d.comb += [
            port.ready.eq(free & room),
            arbiter.want[client].eq(comes | waits),
            arbiter.bank[client].eq(Mux(waits, bank(held), bank(asked))),
        ]
        loses = arbiter.want[client] & ~arbiter.granted[client]
        m.d.sync += [waits.eq(loses), free.eq(~loses)]
        with m.If(~waits):
            m.d.sync += held.eq(asked)
        return held

    def _queue(self, m: Module, coming: Value, word: Value, room: Signal) -> None:
        """Words for `store`, which takes them at its own pace."""
        request, reply = self.request_store, self.data_store
        # Look-up tables as memory: a shift register of words takes several times as many.
        places = 1 << (_HELD - 1).bit_length()
        held = Memory(shape=unsigned(32 * self.lanes), depth=places, init=[])
        m.submodules.held = held
        put, get = held.write_port(), held.read_port(domain="comb")
        asks, taken, left = request.valid & request.ready, reply.valid & reply.ready, Signal()
        # What is taken makes room a cycle later: it is known late.
        owed = level(m, enters=asks, leaves=left, most=_HELD, name="owed")
        here = level(m, enters=coming, leaves=taken, most=_HELD, name="here")
        m.d.comb += [
            room.eq(owed.room),
            reply.valid.eq(here.some),
            reply.payload.eq(get.data),
            put.en.eq(coming),
            put.data.eq(word),
        ]
        m.d.sync += left.eq(taken)
        with m.If(coming):
            m.d.sync += put.addr.eq(put.addr + 1)
        with m.If(taken):
            m.d.sync += get.addr.eq(get.addr + 1)


def _register(m: Module, name: str, *inputs: tuple[Value, Value]) -> None:
    """Drive a port's inputs from registers; a reset leaves them: what was taken is done."""
    for number, (port, value) in enumerate(inputs):
        register = Signal.like(port, name=f"{name}_{number}", reset_less=True)
        m.d.comb += port.eq(register)
        m.d.sync += register.eq(value)
