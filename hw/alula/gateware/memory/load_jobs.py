"""What the asking side of LD tells the one that hands beats on: a job for each run of beats."""

from amaranth.hdl import Module, Signal, Value, ValueLike
from amaranth.lib import data, enum, stream
from amaranth.lib.wiring import Component, In, Member, Out

from alula.gateware.buffers.vector_buffer import address_bits
from alula.gateware.control.command import layout
from alula.gateware.control.fault import Code, Fault
from alula.gateware.memory.bursts import transfer_layout
from alula.gateware.memory.sizes import MemorySizes
from alula.isa.instructions import Engine

COUNT_BITS = 20
"""Of a row's beats and words, and of the rows of LD.G."""


class JobKind(enum.Enum, shape=2):
    """Where beats go."""

    NOTHING = 0
    MATRIX = 1
    ROW = 2
    IDS = 3


def asked_layout(sizes: MemorySizes) -> data.StructLayout:
    """What an asker says of beats that it asks for next, from `address` on.

    `ends`: the last job of its instruction; `dst`: of a row.
    """
    return data.StructLayout(
        {"kind": JobKind, "ends": 1, "address": sizes.beat_bits, "dst": address_bits(sizes.words)}
    )


def job_layout(sizes: MemorySizes) -> data.StructLayout:
    """What is asked, and of its instruction what the kind needs.

    `stride`: beats between row blocks of a matrix, 0 if there is no gap.
    """
    return data.StructLayout(
        {
            "asked": asked_layout(sizes),
            "stride": sizes.beat_bits,
            "count": range(sizes.elements + 1),
            "bf16": 1,
        }
    )


def extent_layout(sizes: MemorySizes) -> data.StructLayout:
    """A row: elements, the beats and words that hold them, and whether the vector buffer could.

    It is valid two cycles before `start`.
    """
    return data.StructLayout({"elements": 32, "beats": COUNT_BITS, "words": COUNT_BITS, "fits": 1})


class Asker(Component):
    """Asks memory for what one kind of instruction loads, and says where it goes.

    Members:
        command: The instruction; held from the first state of `DECODING` until `over`.
        start: Begin with it; for one cycle.
        job: Stream of jobs, each before its transfers.
        transfer: Stream of transfers to `ReadMaster`.
        over: All of the instruction has been asked for; its last cycle.
        fault: It cannot go on, in one cycle; neither does the asker from then on.
    """

    def __init__(self, sizes: MemorySizes, members: dict[str, Member]) -> None:
        self.sizes = sizes
        super().__init__(
            {
                "command": In(layout(Engine.LD)),
                "start": In(1),
                "job": Out(stream.Signature(asked_layout(sizes))),
                "transfer": Out(stream.Signature(transfer_layout(sizes.beat_bits))),
                "over": Out(1),
                "fault": Out(Fault),
                **members,
            }
        )

    def refuse(self, m: Module, code: Code, detail: ValueLike) -> None:
        """Stop with a fault. Inside a state of the asker's machine, which must have a `Stopped`."""
        m.d.comb += [self.fault.code.eq(code), self.fault.detail.eq(detail)]
        m.next = "Stopped"

    def beyond(self, m: Module, address: Value, beats: ValueLike) -> Signal:
        """Return whether these beats end beyond memory: two cycles after both are valid."""
        end, beyond = Signal(len(address) + 1), Signal()
        m.d.sync += [end.eq(address + beats), beyond.eq(end > self.sizes.memory_beats)]
        return beyond
