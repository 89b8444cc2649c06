"""A program: code, the registers that constants and the host set, and each instruction's origin."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from alula.design.engines import MOST_PROGRAM_KIB
from alula.isa.container import (
    ContainerError,
    checked,
    checked_number,
    read_container,
    write_container,
)
from alula.isa.encoding import INSTRUCTION_BYTES, IsaError, Op, decode
from alula.isa.fields import REGISTER_MASK, REGISTERS

MAGIC = b"ALULAPRG"
MOST_BYTES = MOST_PROGRAM_KIB * 1024
"""Code of any design's program."""


@dataclass(frozen=True)
class Program:
    """What a device runs.

    `code`: 16 bytes an instruction. `constants`: register number to value, loaded before each run.
    `inputs`: name of a host-set value to register number. `origins`: for each instruction the unit
    of the model it serves; `{layer}` in it stands for the layer of the outermost loop around it in
    `layer_loops`, `{layer-1}` for the one before. `layer_loops`: address of each LOOP whose
    iterations are layers, to the first layer that it can run; it begins with the run's first layer
    if that is a later one.
    """

    name: str
    design_hash: str
    code: bytes
    constants: Mapping[int, int]
    inputs: Mapping[str, int]
    origins: Sequence[str] = field(default=())
    layer_loops: Mapping[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of instructions."""
        return len(self.code) // INSTRUCTION_BYTES

    def word(self, address: int) -> bytes:
        """Return the encoded instruction at an address."""
        return self.code[address * INSTRUCTION_BYTES : (address + 1) * INSTRUCTION_BYTES]

    @cached_property
    def ops(self) -> tuple[Op, ...]:
        """The decoded instructions. IsaError names the address of one that cannot be decoded."""
        ops = []
        for address in range(len(self)):
            try:
                ops.append(decode(self.word(address)))
            except IsaError as error:
                raise IsaError(f"{self.name}: instruction {address}: {error}") from None
        return tuple(ops)

    def save(self, path: Path | str) -> None:
        """Write the program file."""
        header = {
            "name": self.name,
            "design_hash": self.design_hash,
            "constants": {str(register): value for register, value in self.constants.items()},
            "inputs": dict(self.inputs),
            "origins": list(self.origins),
            "layer_loops": {str(loop): first for loop, first in self.layer_loops.items()},
            "sha256": hashlib.sha256(self.code).hexdigest(),
            "payload_bytes": len(self.code),
        }
        write_container(Path(path), MAGIC, header, [self.code])

    @classmethod
    def load(cls, path: Path | str) -> "Program":
        """Read a program file. ContainerError if it is truncated, altered or malformed."""
        path = Path(path)
        header, payload = read_container(path, MAGIC)
        if payload.size > MOST_BYTES:
            raise ContainerError(
                f"{path}: code must be at most {MOST_BYTES} bytes, not {payload.size}"
            )
        code = payload.tobytes()
        expected = checked(path, "sha256", header.get("sha256"), str)
        actual = hashlib.sha256(code).hexdigest()
        if actual != expected:
            raise ContainerError(f"{path}: sha256 must be {actual}, not {expected[:64]!r}")
        if len(code) % INSTRUCTION_BYTES:
            raise ContainerError(
                f"{path}: code must be whole words of {INSTRUCTION_BYTES} bytes, not {len(code)}"
            )
        count = len(code) // INSTRUCTION_BYTES
        constants = checked(path, "constants", header.get("constants"), dict)
        inputs = checked(path, "inputs", header.get("inputs"), dict)
        origins = checked(path, "origins", header.get("origins"), list)
        if len(origins) not in (0, count):
            raise ContainerError(f"{path}: origins must be 0 or {count}, not {len(origins)}")
        loops = checked(path, "layer_loops", header.get("layer_loops"), dict)
        return cls(
            checked(path, "name", header.get("name"), str),
            checked(path, "design_hash", header.get("design_hash"), str),
            code,
            {
                _constant_register(path, register): checked_number(
                    path, f"constant r{register}", value, 0, REGISTER_MASK
                )
                for register, value in constants.items()
            },
            {
                name: checked_number(path, f"input {name!r}", register, 1, REGISTERS - 1)
                for name, register in inputs.items()
            },
            tuple(checked(path, "origin", origin, str) for origin in origins),
            {
                _loop_address(path, loop, count): checked_number(
                    path, f"first layer of loop {loop}", first, 0, REGISTER_MASK
                )
                for loop, first in loops.items()
            },
        )


def _loop_address(path: Path, text: str, count: int) -> int:
    # A number that Python takes and JSON does not write, such as "0_1", is none.
    if text.isdecimal() and text == str(int(text[:20])) and int(text) < count:
        return int(text)
    raise ContainerError(f"{path}: layer loop must be 0..{count - 1}, not {text[:40]!r}")


def _constant_register(path: Path, text: str) -> int:
    for register in range(1, REGISTERS):
        if text == str(register):
            return register
    raise ContainerError(
        f"{path}: register of a constant must be 1..{REGISTERS - 1}, not {text[:40]!r}"
    )
