"""SYS: what the sequencer does itself."""

from alula.isa.effects import (
    DataFault,
    Effects,
    Error,
    Limit,
    at_least,
    best,
    register,
)
from alula.isa.fields import Immediate, Operand, RegisterField
from alula.isa.instructions.declaration import Engine, Instruction, cycles

LOOP_DEPTH = 4


def _alu(
    name: str,
    opcode: int,
    doc: str,
    duration: str = "EXECUTE + REGISTER",
    limits: tuple[Limit, ...] = (),
) -> Instruction:
    fields = (
        RegisterField("rd", "destination"),
        RegisterField("a", "first operand"),
        Operand("b", 32, "second operand"),
    )
    effects = Effects(writes=(register(),), limits=limits)
    return Instruction(name, Engine.SYS, opcode, fields, doc, cycles(duration), effects)


SYSTEM = (
    Instruction("NOP", Engine.SYS, 0x30, (), "Wait and signal only.", cycles("EXECUTE")),
    Instruction(
        "LOOP",
        Engine.SYS,
        0x31,
        (
            Operand("count", 16, "iterations, 0 skips the body"),
            Immediate("body", 16, "instructions of the body"),
        ),
        "Repeat the instructions that follow; nests to a depth of 4.",
        cycles("EXECUTE + 1 + count * REDIRECT", "count", idle="EXECUTE + REDIRECT"),
        Effects(
            faults=(
                DataFault(
                    Error.UNDEFINED, "the body must end within the code and the loop around it"
                ),
                DataFault(Error.UNDEFINED, f"loops must nest at most {LOOP_DEPTH} deep"),
            )
        ),
    ),
    Instruction(
        "LI",
        Engine.SYS,
        0x32,
        (RegisterField("rd", "destination"), Immediate("value", 32, "value")),
        "Load an immediate.",
        cycles("EXECUTE + REGISTER"),
        Effects(writes=(register(),)),
    ),
    _alu("SADD", 0x33, "rd = a + b, modulo 2^32."),
    _alu("SSUB", 0x34, "rd = a - b, modulo 2^32."),
    _alu("SMUL", 0x35, "rd = a * b, modulo 2^32.", "EXECUTE + TIMES"),
    _alu(
        "SDIV",
        0x36,
        "rd = a // b, unsigned; b = 0 is undefined.",
        "EXECUTE + DIVIDE",
        (at_least("b", 1),),
    ),
    _alu("SMIN", 0x37, "rd = min(a, b), unsigned."),
    Instruction(
        "ARG",
        Engine.SYS,
        0x38,
        (RegisterField("rd", "destination"),),
        "rd = index found by ARGMAX.",
        cycles("EXECUTE + REGISTER"),
        Effects(reads=(best(),), writes=(register(),)),
    ),
    Instruction(
        "END",
        Engine.SYS,
        0x3F,
        (),
        "Stop once every engine is idle; raise done.",
        cycles("EXECUTE", slack=None),
        Effects(faults=(DataFault(Error.UNDEFINED, "the weight stream must be empty"),)),
    ),
)
