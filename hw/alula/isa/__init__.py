"""The contract: instructions, number formats, SFU functions, programs and memory images."""

from alula.isa.assembler import (
    assemble,
    assemble_program,
    disassemble,
    encode_all,
    format_op,
)
from alula.isa.container import ContainerError
from alula.isa.encoding import INSTRUCTION_BYTES, IsaError, Op, Ref, decode, encode
from alula.isa.formats import FORMATS, WEIGHT_FORMATS, WeightFormat
from alula.isa.image import Image, Region
from alula.isa.instructions import INSTRUCTIONS, Engine, Instruction
from alula.isa.program import Program
from alula.isa.regions import RegionName
from alula.isa.run_inputs import RunInputs
from alula.isa.structure import MalformedProgram, check_structure

__all__ = [
    "FORMATS",
    "INSTRUCTIONS",
    "INSTRUCTION_BYTES",
    "WEIGHT_FORMATS",
    "ContainerError",
    "Engine",
    "Image",
    "Instruction",
    "IsaError",
    "MalformedProgram",
    "Op",
    "Program",
    "Ref",
    "Region",
    "RegionName",
    "RunInputs",
    "WeightFormat",
    "assemble",
    "assemble_program",
    "check_structure",
    "decode",
    "disassemble",
    "encode",
    "encode_all",
    "format_op",
]
