"""Every instruction, declared once, in a file for each unit that runs them.

The encoder, the assembler and disassembler, the machine model, the gateware decoder, the generator
of random programs and the reference in the docs all read `INSTRUCTIONS`.
"""

from alula.isa.instructions.declaration import QUEUE_DEPTH, TOKEN_LIMIT, Engine, Instruction
from alula.isa.instructions.load import LOAD
from alula.isa.instructions.matrix import MATRIX
from alula.isa.instructions.sfu import MISC_COUNTS, SFU
from alula.isa.instructions.store import STORE
from alula.isa.instructions.system import LOOP_DEPTH, SYSTEM

__all__ = [
    "BY_NAME",
    "BY_OPCODE",
    "INSTRUCTIONS",
    "LOOP_DEPTH",
    "MISC_COUNTS",
    "QUEUE_DEPTH",
    "TOKEN_LIMIT",
    "Engine",
    "Instruction",
]

INSTRUCTIONS: tuple[Instruction, ...] = (*LOAD, *STORE, *MATRIX, *SFU, *SYSTEM)
BY_NAME = {instruction.name: instruction for instruction in INSTRUCTIONS}
BY_OPCODE = {instruction.opcode: instruction for instruction in INSTRUCTIONS}
