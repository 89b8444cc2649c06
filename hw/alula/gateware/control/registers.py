"""The control port: registers on AXI4-Lite, counters, interrupt."""

from enum import IntEnum

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.control.activity import Activity
from alula.gateware.control.counters import CYCLES, READ, ROWS, WRITTEN, Counters
from alula.gateware.control.fault import Code, Fault
from alula.gateware.control.queue import ADDRESS_BITS as PROGRAM_BITS
from alula.gateware.hdl.axi import lite
from alula.isa.instructions import Engine

ADDRESS_BITS = 12
SETTLE = 8
"""Cycles of `cancel` after which `quiet` counts: engines have asked what they were about to."""
ENGINE_STATE = data.StructLayout(
    {"oldest": PROGRAM_BITS, "use": Activity, "missing": len(Engine), "flying": 1}
)
"""An engine as it is now: address of its oldest instruction (SYS: of its instruction), what it
does, whose tokens its next one waits for, whether the oldest is in flight."""


class Register(IntEnum):
    """Byte addresses; all registers have 32 bits. `doc` says what reads and writes do."""

    doc: str

    def __new__(cls, address: int, doc: str) -> "Register":
        """A register at an address."""
        register = int.__new__(cls, address)
        register._value_ = address
        register.doc = doc
        return register

    IDENTITY = 0x000, 'read: "ALUL"'
    HASH_LOW = 0x004, "read: the design's hash"
    HASH_HIGH = 0x008, "read: its upper half"
    CONTROL = 0x00C, "write: bit 0 starts, 1 resets, 2 clears the interrupt, 3 resets at once"
    STATUS = 0x010, "read: bit 0 running, 1 ended, 2 fault, 3 resetting, 4 interrupt"
    INTERRUPT = 0x014, "bit 0 lets `irq` through"
    LENGTH = 0x018, "instructions of the program"
    ADDRESS = 0x01C, "read: the sequencer's instruction"
    REASON = 0x020, "read: why the sequencer stopped"
    FAULT_ENGINE = 0x024, "read: which engine has a fault, a bit each, bit 5 tokens"
    FAULT_CODE = 0x028, "read: code of the lowest such engine"
    FAULT_DETAIL = 0x02C, "read: address or size to blame"
    FAULT_ADDRESS = 0x030, "read: address of the instruction to blame"
    PROGRAM_ADDRESS = 0x040, "which word PROGRAM writes; advances after the fourth"
    PROGRAM = 0x044, "write: 32 bits of an instruction, the lowest first"
    CYCLES_LOW = 0x050, "read: cycles since the start; reading LOW holds HIGH"
    CYCLES_HIGH = 0x054, "read: their upper half"
    READ_LOW = 0x058, "read: bytes that memory has sent since the start"
    READ_HIGH = 0x05C, "read: their upper half"
    WRITTEN_LOW = 0x060, "read: bytes that it was sent, strobed ones alone"
    WRITTEN_HIGH = 0x064, "read: their upper half"
    ENGINES = 0x068, "read: `ENGINE_STATE` of each engine, 4 bytes each"
    REGISTERS = 0x080, "write: register 0 onwards, 4 bytes each"
    COUNTERS = 0x100, "read: for each engine busy, starved, blocked, idle, 8 bytes each"


class Control(Component):
    """What the host sees. All ports but `irq` and the readys are registers.

    Writes take effect 4 cycles after both halves are there, reads are answered after 4 cycles,
    those of counters after `alula.gateware.control.counters.LATENCY` more at most.

    Program and registers may be written while nothing runs. A reset cancels what the engines do,
    waits until memory owes nothing, and holds `reset` for 4 cycles; program, registers and counters
    stay. A reset at once does not wait for memory that will not answer any more; memory must then
    have forgotten what it owes. Each engine's counters add up to the cycles of the run. A start is
    ignored while something runs, is being reset or has a fault.

    Args:
        design_hash: 64 bits that identify the design.
        program_words: Instructions of the program memory.
        beat_bytes: Bytes of a beat, all channels.

    Members:
        axi: AXI4-Lite, slave. Unknown addresses read 0 and ignore writes.
        start: For one cycle. running, ended, reason, address: The sequencer's.
        length: Instructions of the program.
        program_*, register_*: Write ports of program and registers.
        engine: What each engine does, `use` a cycle ago.
        fault, blamed: Of LD, ST, MM, MV, MISC, with the address of the instruction to blame.
        overflow, giver, taker, overfilled: Of the tokens; see `Dispatch`.
        read, written: Bytes that pass in this cycle.
        halt: Something has a fault.
        cancel: Engines must stop. quiet: Memory owes nothing. reset: Of everything but this.
        irq: The run is over, by END or a fault; until cleared.
    """

    def __init__(self, *, design_hash: int, program_words: int, beat_bytes: int) -> None:
        if not 0 <= design_hash < 1 << 64:
            raise ValueError(f"design_hash must be 64 bits, not {design_hash:#x}")
        if not 1 <= program_words <= 1 << 16:
            raise ValueError(f"program_words must be 1..65536, not {program_words}")
        self.design_hash, self.program_words = design_hash, program_words
        self.beat_bytes = beat_bytes
        engines = len(Engine)
        super().__init__(
            {
                "axi": In(lite(ADDRESS_BITS)),
                "start": Out(1),
                "running": In(1),
                "ended": In(1),
                "reason": In(4),
                "address": In(16),
                "length": Out(range(program_words + 1)),
                "program_enable": Out(1),
                "program_address": Out(16),
                "program_data": Out(32),
                "program_quarter": Out(2),
                "register_enable": Out(1),
                "register_index": Out(5),
                "register_value": Out(32),
                "engine": In(ENGINE_STATE).array(engines),
                "fault": In(Fault).array(engines - 1),
                "blamed": In(PROGRAM_BITS).array(engines - 1),
                "overflow": In(1),
                "giver": In(3),
                "taker": In(3),
                "overfilled": In(PROGRAM_BITS),
                "read": In(range(beat_bytes + 1)),
                "written": In(range(beat_bytes + 1)),
                "halt": Out(1),
                "cancel": Out(1),
                "quiet": In(1),
                "reset": Out(1),
                "irq": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        axi = self.axi
        # Writes: both halves are held, then executed together, a cycle later.
        address, value = (Signal(bits, reset_less=True) for bits in (ADDRESS_BITS, 32))
        has_address, has_value, has_both, writes = Signal(), Signal(), Signal(), Signal()
        to_register = Signal()
        to = {register: Signal(name=f"to_{register.name.lower()}") for register in Register}
        m.d.sync += [
            has_both.eq(has_address & has_value & ~writes),
            to_register.eq(address[7:] == Register.REGISTERS >> 7),
            *(chosen.eq(address == register) for register, chosen in to.items()),
        ]
        m.d.comb += [
            axi.awready.eq(~has_address),
            axi.wready.eq(~has_value),
            writes.eq(has_both & ~axi.bvalid),
            axi.bresp.eq(0),
            axi.rresp.eq(0),
        ]
        with m.If(axi.awvalid & axi.awready):
            m.d.sync += [address.eq(axi.awaddr), has_address.eq(1)]
        with m.If(axi.wvalid & axi.wready):
            m.d.sync += [value.eq(axi.wdata), has_value.eq(1)]
        with m.If(axi.bvalid & axi.bready):
            m.d.sync += axi.bvalid.eq(0)
        with m.If(writes):
            m.d.sync += [has_address.eq(0), has_value.eq(0), axi.bvalid.eq(1)]

        ended, raised, enabled = Signal(), Signal(), Signal()
        place, quarter = Signal(16), Signal(2)
        resetting, forced = Signal(), Signal()
        hold = Signal(range(5))
        settles = Signal(range(SETTLE + 1))
        faulty, failing = Signal(len(Engine)), Signal()
        m.d.comb += [
            faulty.eq(Cat(*(fault.code != Code.NONE for fault in self.fault), self.overflow)),
            self.irq.eq(raised & enabled),
            self.cancel.eq(resetting),
            self.reset.eq(hold != 0),
            self.register_index.eq(address[2:7]),
            self.register_value.eq(value),
            self.program_data.eq(value),
        ]
        m.d.sync += [
            self.halt.eq(faulty.any()),
            failing.eq(faulty.any() | (self.reason != 0)),
            self.start.eq(0),
            self.program_enable.eq(0),
            self.program_address.eq(place),
            self.program_quarter.eq(quarter),
            self.register_enable.eq(0),
        ]
        failed = Signal()
        m.d.sync += failed.eq(failing)
        with m.If(self.ended):
            m.d.sync += ended.eq(1)
        with m.If(self.ended | (failing & ~failed)):
            m.d.sync += raised.eq(1)
        with m.If(settles != 0):
            m.d.sync += settles.eq(settles - 1)
        with m.Elif(resetting & (self.quiet | forced) & (hold == 0)):
            m.d.sync += hold.eq(4)
        with m.If(hold != 0):
            m.d.sync += hold.eq(hold - 1)
            with m.If(hold == 1):
                m.d.sync += [resetting.eq(0), forced.eq(0)]
        with m.If(writes):
            with m.If(to[Register.CONTROL]):
                m.d.sync += self.start.eq(value[0] & ~self.running & ~resetting & ~failing)
                with m.If(value[1] | value[3]):
                    m.d.sync += [resetting.eq(1), ended.eq(0), forced.eq(value[3])]
                    m.d.sync += settles.eq(SETTLE)
                with m.If(value[2]):
                    m.d.sync += raised.eq(0)
            with m.If(to[Register.INTERRUPT]):
                m.d.sync += enabled.eq(value[0])
            with m.If(to[Register.LENGTH]):
                limit = self.program_words
                m.d.sync += self.length.eq(Mux(value > limit, limit, value))
            with m.If(to[Register.PROGRAM_ADDRESS]):
                m.d.sync += [place.eq(value), quarter.eq(0)]
            with m.If(to[Register.PROGRAM]):
                m.d.sync += self.program_enable.eq(~self.running & (place < self.program_words))
                m.d.sync += [quarter.eq(quarter + 1), place.eq(place + (quarter == 3))]
            with m.If(to_register):
                m.d.sync += self.register_enable.eq(~self.running)
        with m.If(self.start):
            m.d.sync += ended.eq(0)

        status = Cat(self.running, ended, failing, resetting, raised)
        self._read(m, self._count(m), faulty, status, enabled)
        return m

    def _count(self, m: Module) -> Counters:
        """Count what engines do and what passes to memory and back, while it runs."""
        m.submodules.counters = counters = Counters(step=self.beat_bytes)
        m.d.sync += counters.running.eq(self.running)
        m.d.comb += [
            counters.clear.eq(self.start),
            counters.read.eq(self.read),
            counters.written.eq(self.written),
            *(counters.use[engine].eq(self.engine[engine].use) for engine in Engine),
        ]
        return counters

    def _read(
        self,
        m: Module,
        counters: Counters,
        faulty: Signal,
        status: Value,
        enabled: Signal,
    ) -> None:
        axi = self.axi
        fault = self._first_fault(m, faulty)
        plain = {
            Register.IDENTITY: int.from_bytes(b"ALUL", "little"),
            Register.HASH_LOW: self.design_hash & 0xFFFF_FFFF,
            Register.HASH_HIGH: self.design_hash >> 32,
            Register.STATUS: status,
            Register.INTERRUPT: enabled,
            Register.LENGTH: self.length,
            Register.ADDRESS: self.address,
            Register.REASON: self.reason,
            Register.FAULT_ENGINE: faulty,
            Register.FAULT_CODE: fault.code.as_value(),
            Register.FAULT_DETAIL: fault.detail,
            Register.FAULT_ADDRESS: fault.address,
        }
        # The state of an engine is chosen while its address is decoded.
        state = Signal(ENGINE_STATE.size, reset_less=True)
        rows = {
            Register.CYCLES_LOW: CYCLES,
            Register.READ_LOW: READ,
            Register.WRITTEN_LOW: WRITTEN,
        }
        rows |= {Register.COUNTERS + 8 * number: number for number in range(CYCLES)}
        high = Signal(32, reset_less=True)
        answers = [*plain.values(), state, high]
        address = Signal(ADDRESS_BITS, reset_less=True)
        choice, counts = Signal(range(len(answers) + 1), reset_less=True), Signal(reset_less=True)
        index = Signal(range(ROWS), reset_less=True)
        m.d.comb += counters.index.eq(index)
        with m.FSM(name="read"):
            with m.State("IDLE"):
                m.d.comb += axi.arready.eq(1)
                m.d.sync += address.eq(axi.araddr)
                with m.If(axi.arvalid):
                    m.next = "DECODE"
            with m.State("DECODE"):
                m.d.sync += [choice.eq(len(answers)), counts.eq(0)]
                with m.Switch(address):
                    for number, engine in enumerate(self.engine):
                        with m.Case(Register.ENGINES + 4 * number):
                            m.d.sync += [choice.eq(len(plain)), state.eq(engine)]
                    for number, place in enumerate(plain):
                        with m.Case(place):
                            m.d.sync += choice.eq(number)
                    for place, number in rows.items():
                        with m.Case(place):
                            m.d.sync += [counts.eq(1), index.eq(number)]
                        with m.Case(place + 4):
                            m.d.sync += choice.eq(len(answers) - 1)
                m.next = "SELECT"
            with m.State("SELECT"):
                m.d.comb += counters.ask.eq(counts)
                m.d.sync += axi.rdata.eq(Array([*answers, 0])[choice])
                with m.If(counts & counters.valid):
                    m.d.sync += [axi.rdata.eq(counters.value[:32]), high.eq(counters.value[32:])]
                with m.If(~counts | counters.valid):
                    m.d.sync += axi.rvalid.eq(1)
                    m.next = "ANSWER"
            with m.State("ANSWER"), m.If(axi.rready):
                m.d.sync += axi.rvalid.eq(0)
                m.next = "IDLE"

    def _first_fault(self, m: Module, faulty: Signal) -> data.View:
        """The report of the lowest engine that has a fault, two cycles late."""
        shape = data.StructLayout({"code": Code, "detail": 32, "address": PROGRAM_BITS})
        fault = Signal(shape)
        with m.If(self.halt):
            m.d.sync += [
                fault.code.eq(Code.TOKENS),
                fault.detail.eq(Cat(self.giver, self.taker)),
                fault.address.eq(self.overfilled),
            ]
            for number in reversed(range(len(Engine) - 1)):
                with m.If(faulty[number]):
                    m.d.sync += [
                        fault.code.eq(self.fault[number].code),
                        fault.detail.eq(self.fault[number].detail),
                        fault.address.eq(self.blamed[number]),
                    ]
        with m.Else():
            m.d.sync += [fault.code.eq(Code.NONE), fault.detail.eq(0), fault.address.eq(0)]
        return fault
