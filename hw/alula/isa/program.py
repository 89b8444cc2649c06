"""A program: code, the constants in its registers, the registers the host sets, and where each
instruction comes from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from alula.isa.container import ContainerError, read_container, write_container
from alula.isa.encoding import WORD_BYTES, IsaError, Op, decode

MAGIC = b"ALULAPRG"


@dataclass(frozen=True)
class Program:
    """What a device runs.

    `code`: 16 bytes an instruction. `constants`: register number to value, loaded before each run.
    `inputs`: name of a host-set value to register number. `origins`: for each instruction the unit
    of the model it serves; `{layer}` in it stands for the iteration of the outermost loop around it
    that is marked `layer` in `layer_loops` (addresses of LOOP instructions).
    """

    name: str
    design_hash: str
    code: bytes
    constants: Mapping[int, int]
    inputs: Mapping[str, int]
    origins: Sequence[str] = field(default=())
    layer_loops: frozenset[int] = frozenset()

    def __len__(self) -> int:
        """Number of instructions."""
        return len(self.code) // WORD_BYTES

    @cached_property
    def ops(self) -> tuple[Op, ...]:
        """The decoded instructions. IsaError names the address of one that cannot be decoded."""
        ops = []
        for address in range(len(self)):
            try:
                ops.append(decode(self.code[address * WORD_BYTES : (address + 1) * WORD_BYTES]))
            except IsaError as error:
                raise IsaError(f"{self.name}: instruction {address}: {error}") from None
        return tuple(ops)

    def save(self, path: Path) -> None:
        """Write the program file."""
        header = {
            "name": self.name,
            "design_hash": self.design_hash,
            "constants": {str(register): value for register, value in self.constants.items()},
            "inputs": dict(self.inputs),
            "origins": list(self.origins),
            "layer_loops": sorted(self.layer_loops),
            "sha256": hashlib.sha256(self.code).hexdigest(),
            "payload_bytes": len(self.code),
        }
        write_container(path, MAGIC, header, [self.code])

    @classmethod
    def load(cls, path: Path) -> Program:
        """Read a program file. ContainerError if it is truncated or altered."""
        header, payload = read_container(path, MAGIC)
        code = payload.tobytes()
        if hashlib.sha256(code).hexdigest() != header["sha256"]:
            raise ContainerError(f"{path}: sha256 of the code must be {header['sha256']}")
        return cls(
            header["name"],
            header["design_hash"],
            code,
            {int(register): value for register, value in header["constants"].items()},
            header["inputs"],
            tuple(header["origins"]),
            frozenset(header["layer_loops"]),
        )
