"""The vector buffer: fp32 words of `lanes`, in four banks."""

from __future__ import annotations

from amaranth.hdl import Array, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from alula.design.engines import VECTOR_BANKS as BANKS
from alula.gateware.buffers.arbiter import Arbiter

__all__ = ["BANKS", "READ_LATENCY", "VectorBuffer", "address_bits", "write_layout"]

READ_LATENCY = 2
"""Cycles from a request to its data, where no bank is wanted twice."""
_HELD = 3
_SLOTS = 4
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

    The two low bits of an address are its bank. Readers and writers that want the same bank take
    turns (`Arbiter`); on consecutive words each reader gets, and each writer puts, a word a cycle.
    A word that has been written (transfer in cycle t) is read by requests from t + 1.

    Args:
        words: Words of the buffer, a multiple of 4.
        lanes: fp32 values of a word.

    Members:
        request_a, request_b, request_store: Streams of addresses.
        data_a, data_b, data_store: Streams of words, in the order of their requests.
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
        members: dict[str, In | Out] = {}
        for name in _READERS:
            members[f"request_{name}"] = In(stream.Signature(address_bits(words)))
            members[f"data_{name}"] = Out(stream.Signature(data.ArrayLayout(32, lanes)))
        for name in _WRITERS:
            members[f"write_{name}"] = In(stream.Signature(write_layout(words, lanes)))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        width = 32 * self.lanes
        reads, writes = [], []
        for bank in range(BANKS):
            memory = Memory(shape=unsigned(width), depth=self.words // BANKS, init=[])
            m.submodules[f"bank_{bank}"] = memory
            reads.append(memory.read_port())
            writes.append(memory.write_port(granularity=32))
        self._write(m, writes)
        self._read(m, reads)
        return m

    def _write(self, m: Module, ports: list) -> None:
        streams = [getattr(self, f"write_{name}") for name in _WRITERS]
        m.submodules.writers = arbiter = Arbiter(clients=len(streams), banks=BANKS)
        payloads = Array(item.payload for item in streams)
        for client, item in enumerate(streams):
            m.d.comb += [
                arbiter.want[client].eq(item.valid),
                arbiter.bank[client].eq(item.payload.address),
                item.ready.eq(arbiter.granted[client]),
            ]
        for bank, port in enumerate(ports):
            chosen = payloads[arbiter.client[bank]]
            m.d.comb += [
                port.addr.eq(chosen.address[2:]),
                port.data.eq(chosen.data),
                port.en.eq(Mux(arbiter.taken[bank], chosen.mask, 0)),
            ]

    def _read(self, m: Module, ports: list) -> None:
        requests = [getattr(self, f"request_{name}") for name in _READERS]
        m.submodules.readers = arbiter = Arbiter(clients=len(requests), banks=BANKS)
        addresses = Array(item.payload for item in requests)
        for bank, port in enumerate(ports):
            m.d.comb += [
                port.addr.eq(addresses[arbiter.client[bank]][2:]),
                port.en.eq(arbiter.taken[bank]),
            ]
        words = Array(port.data for port in ports)
        for client, name in enumerate(_READERS):
            request, reply = requests[client], getattr(self, f"data_{name}")
            coming = Signal(name=f"coming_{name}")
            bank = Signal(range(BANKS), name=f"bank_{name}")
            # Look-up tables as memory: a shift register of words takes several times as many.
            held = Memory(shape=unsigned(32 * self.lanes), depth=_SLOTS, init=[])
            m.submodules[f"held_{name}"] = held
            put, get = held.write_port(), held.read_port(domain="comb")
            level = Signal(range(_HELD + 1), name=f"level_{name}")
            owed = Signal(range(_HELD + 1), name=f"owed_{name}")
            taken = Signal(name=f"taken_{name}")
            m.d.comb += [
                arbiter.want[client].eq(request.valid & (owed != _HELD)),
                arbiter.bank[client].eq(request.payload),
                request.ready.eq(arbiter.granted[client]),
                reply.valid.eq(level != 0),
                reply.payload.eq(get.data),
                taken.eq(reply.valid & reply.ready),
                put.en.eq(coming),
                put.data.eq(words[bank]),
            ]
            m.d.sync += [
                coming.eq(arbiter.granted[client]),
                bank.eq(request.payload),
                owed.eq(owed + arbiter.granted[client] - taken),
                level.eq(level + coming - taken),
                put.addr.eq(put.addr + coming),
                get.addr.eq(get.addr + taken),
            ]
