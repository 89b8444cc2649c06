"""What a model asks of whatever runs it: numbers held, read and multiplied, unit by unit."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from alula.ir import Architecture
from alula.mapper import traffic
from alula.runtime.planning.devices import Format
from alula.runtime.split import Phase

BYTES: Mapping[Format, float] = {
    "fp32": 4,
    "fp16": 2,
    "bf16": 2,
    "int8": 1,
    "q4_0": 18 / 32,
}
"""Of a number; the contract's depend on what it is."""


@dataclass(frozen=True, kw_only=True)
class UnitWork:
    """What a unit asks for.

    Attributes:
        name: such as "layers.3".
        kind: which sort of unit it is.
        stored: numbers of weights that it holds.
        read: of these, how many every step reads, whatever the number of tokens.
        gathered: numbers of weights that each token reads for itself.
        macs: products with weights, for each token.
        attended: products with keys and values, for each token that a token attends to.
        kv: numbers of keys and values, for each token.
        contract: bytes of its weights in the contract's formats.
        kv_contract: bytes of keys and values of a token in the contract's format.
    """

    name: str
    kind: Literal["embed", "layer", "head"]
    stored: int
    read: int
    gathered: int = 0
    macs: int
    attended: int = 0
    kv: int = 0
    contract: int = 0
    kv_contract: int = 0

    def weight_bytes(self, form: Format) -> float:
        """Bytes of the weights it holds."""
        return self.contract if form == "contract" else self.stored * BYTES[form]

    def kv_bytes(self, form: Format) -> float:
        """Bytes of keys and values of a token."""
        return self.kv_contract if form == "contract" else self.kv * BYTES[form]

    def read_bytes(self, form: Format, tokens: int) -> float:
        """Bytes of weights that a step of some tokens reads."""
        numbers = self.read + tokens * self.gathered
        return self.weight_bytes(form) * numbers / self.stored

    def products(self, phase: Phase, tokens: int, held: float) -> float:
        """Products of a step of `tokens` tokens behind `held` others; of the head one row."""
        if self.kind == "head":
            return self.macs
        return tokens * (self.macs + self.attended * (held + (tokens + 1) / 2))


@dataclass(frozen=True, kw_only=True)
class ModelWork:
    """What a model asks for.

    Attributes:
        name: of the model.
        units: in order.
        hidden: numbers of a token's hidden state.
        tied: numbers of weights that the head shares with the embedding.
        max_context: most tokens of a sequence.
        architecture: its shape, if it is one that Alula compiles.
    """

    name: str
    units: tuple[UnitWork, ...]
    hidden: int
    tied: int = 0
    max_context: int
    architecture: Architecture | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The units' names."""
        return tuple(unit.name for unit in self.units)

    @property
    def shape(self) -> str:
        """Identity of the model's shape."""
        text = json.dumps([vars(unit) for unit in self.units])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def work_of(name: str, shape: Architecture) -> ModelWork:
    """Return what a model of a shape asks for."""
    moved = traffic(shape)
    contracts = (0, *moved.layers, moved.head)
    units = tuple(
        _unit(shape, unit, contract, moved.kv)
        for unit, contract in zip(shape.units, contracts, strict=True)
    )
    return ModelWork(
        name=name,
        units=units,
        hidden=shape.hidden_size,
        tied=shape.vocab_size * shape.hidden_size if shape.tied_head else 0,
        max_context=shape.max_context,
        architecture=shape,
    )


def _unit(shape: Architecture, name: str, contract: int, kv_contract: int) -> UnitWork:
    tensors = shape.unit_tensors(name)
    stored = sum(math.prod(one) for one in tensors.values())
    if name == "embed":
        rows = stored // shape.hidden_size
        return UnitWork(
            name=name,
            kind="embed",
            stored=stored,
            read=0,
            gathered=shape.hidden_size * len(tensors),
            macs=0,
            contract=2 * rows * shape.hidden_size,
        )
    if name == "head":
        stored += shape.vocab_size * shape.hidden_size if shape.tied_head else 0
        return UnitWork(
            name=name, kind="head", stored=stored, read=stored, macs=stored, contract=contract
        )
    return UnitWork(
        name=name,
        kind="layer",
        stored=stored,
        read=stored,
        macs=sum(math.prod(one) for one in shape.projections.values()),
        attended=2 * shape.query_size,
        kv=2 * shape.kv_size,
        contract=contract,
        kv_contract=kv_contract,
    )
