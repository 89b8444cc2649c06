"""What a run that did not end says of itself: registers in words."""

from typing import Protocol

from amaranth.lib.data import StructLayout

from alula.gateware.control.activity import Activity
from alula.gateware.control.fault import Code
from alula.gateware.control.queue import IN_FLIGHT
from alula.gateware.control.registers import ENGINE_STATE, Register
from alula.gateware.control.sequencer import Reason
from alula.gateware.matrix.reason import DETAIL as PRODUCT_DETAIL
from alula.gateware.matrix.reason import ProductReason
from alula.isa import Program
from alula.isa.assembler import format_op
from alula.isa.encoding import IsaError, decode
from alula.isa.instructions import Engine

_FAULTS = {
    Code.UNDEFINED: "must be given what the contract defines, not {}",
    Code.UNSUPPORTED: "must be given a supported format, not number {}",
    Code.UNIMPLEMENTED: "must be given a size that the design has, not {}",
    Code.OUT_OF_RANGE: "must stay within the design, not reach {}",
    Code.READ_SLVERR: "must be given beat {0} by memory, not SLVERR",
    Code.READ_DECERR: "must be given beat {0} by memory, not DECERR",
    Code.WRITE_SLVERR: "must have memory accept the burst at beat {0}, not answer SLVERR",
    Code.WRITE_DECERR: "must have memory accept the burst at beat {0}, not answer DECERR",
}
_PRODUCTS = {
    ProductReason.FORMAT: "must be given a supported format",
    ProductReason.STREAM: "must have the format and groups of the stream's head",
    ProductReason.ROWS: "must have rows: at least one, and with MV no more than T",
    ProductReason.OUTPUTS: "must have outputs that end in the last row block of the stream's head",
    ProductReason.OVERFLOW: "must have sums that fit the accumulator",
    ProductReason.SRC: "must stay within the activation buffer, not reach group {}",
    ProductReason.DST: "must stay within the vector buffer, not reach word {}",
    ProductReason.REPLAY: "must have row blocks that fit the weight stream, not of {} groups",
}
_REASONS = {
    Reason.OPCODE: "the opcode must be one of the contract's",
    Reason.RESERVED: "codes must not be reserved",
    Reason.STRAY: "bits without a meaning must be zero",
    Reason.RUNAWAY: "the program must come to an END, not run off its last instruction",
    Reason.DIVISION: "the divisor must not be zero",
    Reason.LOOP_BODY: "a loop's body must lie within the code and the body around it",
    Reason.LOOP_DEPTH: "loops must nest to a depth of at most 4",
    Reason.STREAM_LEFT: "the weight stream must be empty at END",
}
_WAITS = {
    (Engine.LD, Activity.STARVED): "memory",
    (Engine.LD, Activity.BLOCKED): "room in the weight stream or the vector buffer",
    (Engine.ST, Activity.STARVED): "the vector buffer",
    (Engine.ST, Activity.BLOCKED): "memory",
    (Engine.MM, Activity.STARVED): "weights or activations",
    (Engine.MM, Activity.BLOCKED): "the vector buffer",
    (Engine.MV, Activity.STARVED): "weights or activations",
    (Engine.MV, Activity.BLOCKED): "the vector buffer",
    (Engine.MISC, Activity.STARVED): "the vector buffer",
    (Engine.MISC, Activity.BLOCKED): "a buffer",
    (Engine.SYS, Activity.STARVED): "the engines to end",
    (Engine.SYS, Activity.BLOCKED): "a queue",
}


# Which of an engine's instructions one may be; 0 is the oldest that has not retired.
_RETIRED, _OLDEST, _TAKEN = range(-1, 0), range(1), range(IN_FLIGHT + 1)
_BLAMED = {
    Code.TOKENS: _RETIRED,
    **dict.fromkeys((Code.READ_SLVERR, Code.READ_DECERR), _OLDEST),
    **dict.fromkeys((Code.WRITE_SLVERR, Code.WRITE_DECERR), _OLDEST),
}
"""The one that a fault means; where it is not listed, one that is in flight or the next."""


class Registers(Protocol):
    """The control port's registers."""

    def read(self, address: int) -> int:
        """Read a register of 32 bits."""
        ...


class UnitOf(Protocol):
    """Tells which unit of the model an instruction serves."""

    def __call__(self, engine: Engine, address: int, numbers: range) -> str:
        """The unit of an engine's instruction at an address; "" if that is not known.

        `numbers`: it may be any of these; 0 is the engine's oldest that has not retired.
        """
        ...


class Diagnosis:
    """Reads what is wrong with a run of a program. Each method returns one line.

    `unit` names the layer too; without it an instruction serves what the program says of it.
    """

    def __init__(self, registers: Registers, program: Program, unit: UnitOf | None) -> None:
        self._read, self._program, self._unit = registers.read, program, unit

    def waits(self) -> str:
        """Who waits for whom, for the engines that hold an instruction and for SYS."""
        parts = []
        for engine in (Engine.SYS, *(e for e in Engine if e is not Engine.SYS)):
            now = _fields(ENGINE_STATE, self._read(Register.ENGINES + 4 * engine))
            use, address, flying = Activity(now["use"]), now["oldest"], now["flying"]
            missing = [giver.name for giver in Engine if now["missing"] >> giver & 1]
            if use == Activity.IDLE:
                continue
            if use == Activity.BUSY:
                does = "works"
            elif missing and not flying:
                does = f"waits for a token of {' and '.join(missing)}"
            elif engine is not Engine.SYS and not flying:
                does = "waits for the weight stream"
            else:
                does = f"waits for {_WAITS[engine, use]}"
            parts.append(f"{engine.name} at {address} {does}{self._shown(engine, address)}")
        return ", ".join(parts)

    def fault(self) -> str:
        """What went wrong, and where."""
        read = self._read
        blamed, detail = read(Register.FAULT_ENGINE), read(Register.FAULT_DETAIL)
        if not blamed:
            reason, address = Reason(read(Register.REASON)), read(Register.ADDRESS)
            text = _REASONS.get(reason, "the run must end")
            return f"SYS at {address}: {text}{self._shown(Engine.SYS, address)}"
        address, code = read(Register.FAULT_ADDRESS), Code(read(Register.FAULT_CODE))
        engine = next(engine for engine in Engine if blamed >> engine & 1)
        if code == Code.TOKENS:
            engine, taker = Engine(detail & 7), Engine(detail >> 3 & 7)
            text = f"must give {taker.name} at most 255 tokens that it has not taken"
        elif engine in (Engine.MM, Engine.MV):
            product = _fields(PRODUCT_DETAIL, detail)
            text = _PRODUCTS[ProductReason(product["reason"])].format(product["number"])
        else:
            text = _FAULTS[code].format(detail)
        shown = self._shown(engine, address, _BLAMED.get(code, _TAKEN))
        return f"{engine.name} at {address} {text}{shown}"

    def _shown(self, engine: Engine, address: int, numbers: range = _OLDEST) -> str:
        """An instruction and the unit of the model that it serves, as far as that is known."""
        program = self._program
        if not address < len(program):
            return ""
        unit = self._unit(engine, address, numbers) if self._unit else ""
        unit = unit or (_any_layer(program.origins[address]) if program.origins else "")
        try:
            text = format_op(decode(program.word(address)))
        except IsaError as error:
            text = str(error)
        return f" ({unit}: {text})" if unit else f" ({text})"


def _fields(layout: StructLayout, bits: int) -> dict[str, int]:
    """The fields of a struct, as numbers."""
    return {
        name: bits >> layout[name].offset & ((1 << layout[name].width) - 1)
        for name in layout.members
    }


def _any_layer(origin: str) -> str:
    """The unit that an instruction serves, of a layer that is not known."""
    return origin.replace("{layer}", "*").replace("{layer-1}", "*")
