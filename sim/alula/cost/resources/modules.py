"""The modules of a design: how many there are of each, and what the size of each depends on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log2
from typing import NamedTuple

from alula.design import INSTRUCTION_BYTES, Design
from alula.design.engines import BLOCK, VECTOR_BANKS
from alula.design.storage import URAM_DEPTH
from alula.gateware.control.command import ENGINES


class Dimensions(NamedTuple):
    """What modules of a design are sized by; of a core where nothing else is said."""

    cores: int
    """Of the design."""
    channels: int
    """Memory channels."""
    ports: int
    """AXI ports of a channel."""
    beat: int
    """Bits of a beat of a channel."""
    chains: int
    """Rows of a row block."""
    tokens: int
    """Rows of activations that share a pass."""
    results: int
    """Results that are finished in a cycle."""
    lanes: int
    """fp32 values of a vector buffer word."""
    sparse: int
    """1 with N:M patterns, else 0."""
    stream: int
    """Value beats of the weight stream."""
    words: int
    """Of the vector buffer."""
    groups: int
    """Of the activation buffer."""
    staging: int
    """Bytes of the staging buffer."""
    program: int
    """Instructions of the program buffer."""
    memory: int
    """Beats of a channel."""

    @classmethod
    def of(cls, design: Design) -> "Dimensions":
        """Return those of a design."""
        memory = design.memory
        return cls(
            cores=design.cores,
            channels=design.channels_per_core,
            ports=memory.ports,
            beat=8 * memory.beat_bytes,
            chains=design.chains_per_core,
            tokens=design.mpe.tokens,
            results=design.output_width,
            lanes=design.sfu.lanes,
            sparse=int(design.mpe.sparse),
            stream=design.stream_beats,
            words=design.vector_words,
            groups=design.activation_groups,
            staging=design.staging_bytes,
            program=design.program_bytes // INSTRUCTION_BYTES,
            memory=design.channel_bytes // memory.beat_bytes,
        )


MEASURES: Mapping[str, Callable[[Dimensions], float]] = {
    "one": lambda d: 1,
    # Bits that pass side by side.
    "beat": lambda d: d.beat,
    "beats": lambda d: d.channels * d.beat,
    "whole": lambda d: d.cores * d.channels * d.beat if d.cores > 1 else 0,
    "written": lambda d: d.cores * d.channels * d.beat // d.ports,
    "split": lambda d: d.ports * d.beat,
    "word": lambda d: 32 * d.lanes,
    "shared": lambda d: d.cores * 32 * d.lanes,
    # How often something is there.
    "cores": lambda d: d.cores,
    "channels": lambda d: d.channels,
    "ports": lambda d: d.ports,
    "chains": lambda d: d.chains,
    "tokens": lambda d: d.tokens,
    "products": lambda d: d.chains * d.tokens,
    "results": lambda d: d.results,
    "turns": lambda d: d.chains * d.tokens // d.results,
    "sparse": lambda d: d.sparse,
    "sparse chains": lambda d: d.sparse * d.chains,
    "sparse products": lambda d: d.sparse * d.chains * d.tokens,
    # Bits of addresses and counters.
    "memory": lambda d: log2(d.memory),
    "stream": lambda d: log2(d.stream),
    "words": lambda d: log2(d.words),
    "groups": lambda d: log2(d.groups),
    "staging": lambda d: log2(d.staging),
    "program": lambda d: log2(d.program),
    "rounds": lambda d: log2(d.chains * d.tokens // d.results),
    "wide": lambda d: log2(d.lanes),
    # UltraRAMs below each other are joined by multiplexers.
    "deep words": lambda d: 32 * d.lanes * _below(d.words // VECTOR_BANKS),
    "deep groups": lambda d: 8 * BLOCK * d.tokens * _below(2 * d.groups),
}
"""What modules grow with, by the name that fits know it by."""


def _below(depth: int) -> int:
    return -(-depth // URAM_DEPTH) - 1


@dataclass(frozen=True)
class Kind:
    """Modules of one class of the gateware.

    Attributes:
        name: of the class.
        count: how many a design has.
        size: measures in which look-up tables and flip-flops of one are linear.
        delay: measures in which its longest path's ns are.
    """

    name: str
    count: Callable[[Dimensions], int]
    size: tuple[str, ...] = ("one",)
    delay: tuple[str, ...] = ("one",)


def _core(d: Dimensions) -> int:
    return d.cores


def _several(number: int) -> Callable[[Dimensions], int]:
    """What only several cores have."""
    return lambda d: number if d.cores > 1 else 0


def _channel_ports(d: Dimensions) -> int:
    return d.cores * d.channels if d.ports > 1 else 0


def _lanes(each: int, once: int = 0) -> Callable[[Dimensions], int]:
    """So many of each lane of the SFUs, and of what an SFU has once."""
    return lambda d: d.cores * (each * d.lanes + once)


def _chains(d: Dimensions) -> int:
    """A chain multiplies for two tokens."""
    return d.cores * d.chains * d.tokens // 2


KINDS = (
    Kind("top", lambda d: 1, ("one", "written", "cores"), ("one", "cores")),
    Kind("Control", lambda d: 1),
    Kind("Dispatch", lambda d: 1, ("one", "program"), ("one", "program")),
    Kind("Fork", _several(len(ENGINES)), ("one", "cores")),
    Kind("Join", _several(len(ENGINES)), ("one", "cores")),
    Kind("Gather", _several(1), ("one", "whole")),
    Kind("Share", _several(1), ("one", "shared")),
    Kind("Core", _core, ("one", "channels")),
    Kind(
        "Load", _core, ("one", "beats", "word", "whole", "channels", "memory", "sparse"),
        ("one", "words", "channels", "sparse"),
    ),
    Kind(
        "Store", _core, ("one", "beats", "word", "whole", "channels", "memory"),
        ("one", "words", "channels"),
    ),
    Kind("ReadPorts", _channel_ports, ("one", "beat", "ports", "split"), ("one", "ports")),
    Kind("WritePort", _channel_ports, ("one", "beat", "ports"), ("one", "ports")),
    Kind(
        "WeightStream", _core, ("one", "beats", "stream", "sparse", "sparse chains"),
        ("one", "stream", "sparse"),
    ),
    Kind(
        "Mpe", _core, ("one", "chains", "products", "tokens", "word", "sparse", "sparse products"),
        ("one", "rounds", "sparse"),
    ),
    Kind("RowDequantiser", lambda d: d.cores * d.chains, ("one", "sparse")),
    Kind("Chain", _chains, ("one", "sparse"), ("one", "sparse")),
    Kind("PackedMultiplier", lambda d: BLOCK * _chains(d)),
    Kind("Accumulator", lambda d: 0 if d.sparse else d.cores * d.chains * d.tokens),
    Kind("SparseAccumulator", lambda d: d.sparse * d.cores * d.chains * d.tokens),
    Kind("OutputLane", lambda d: d.cores * d.results),
    Kind("VectorBuffer", _core, ("one", "word", "words", "deep words"), ("one", "wide", "words")),
    Kind("ActivationBuffer", _core, ("one", "tokens", "deep groups"), ("one", "groups")),
    Kind("StagingBuffer", _core, ("one", "staging"), ("one", "staging")),
    Kind("Sfu", _core, ("one", "word", "tokens", "words"), ("one", "wide", "words")),
    Kind("SfuLane", _lanes(1)),
    Kind("SumLane", _lanes(1)),
    Kind("FloatToInt8", _lanes(1)),
    Kind("FloatActivation", _lanes(1)),
    Kind("FloatMultiply", _lanes(2, once=1)),
    Kind("FloatAdd", _lanes(1, once=1)),
    Kind("FloatRoot", _core),
    Kind("TableRom", lambda d: d.cores * d.lanes // 2),
)  # fmt: skip
"""All there are, by what `alula.synth` finds of designs; `tools/fit_resources.py` checks it."""
