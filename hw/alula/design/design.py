"""The design: what is chosen, what follows from it, and what makes it impossible."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from alula.chips import FAMILIES, ChipFamily
from alula.design.engines import (
    BLOCK,
    FUNCTION_TABLE,
    GROUP,
    INSTRUCTION_BYTES,
    LIMB,
    MOST_GROUPS,
    MOST_ROW_GROUPS,
    MOST_ROWS,
    MOST_WORDS,
    RECIPROCALS,
    ROOT_TABLE,
    SCALE_BYTES,
    SIDE_BITS,
    STEP_BITS,
    VECTOR_BANKS,
    Buffers,
    Mpe,
    Sfu,
    output_width,
)
from alula.design.memory import MIB, Memory
from alula.design.memory_ports import RESPONSE_BITS, kept_beats
from alula.design.part import Part
from alula.design.record import Record
from alula.design.ring_sizes import ring_banks
from alula.design.storage import SHALLOW, Bank, Blocks, bind_memories

KIB = 1024
MIN_STREAM_BEATS = 16
MIN_GROUPS = 2
HASHED = ("cores", "memory", "mpe", "sfu", "buffers", "context_max", "prefill_chunk")
BEYOND = {"dram", "ports", "switch", "address_bits", "windows"}
"""Of the memory, what lies between the accelerator and its bytes."""


class Design(Record):
    """One accelerator. Frozen and valid: every derived size below holds for it."""

    name: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9_.-]+$")]
    """Short name of the design."""

    part: Part
    """The chip and its resource budget."""

    clock_mhz: Annotated[int, Field(ge=1, le=2000)]
    """Core clock in MHz."""

    cores: Annotated[int, Field(ge=1, le=64)]
    """Equal cores, each with its own channels, matrix engine, SFU and buffers."""

    memory: Memory
    """External memory."""

    mpe: Mpe
    """Matrix engine."""

    sfu: Sfu
    """Special function unit."""

    buffers: Buffers
    """On-chip memories of each core."""

    context_max: Annotated[int, Field(ge=GROUP, le=GROUP * MOST_ROW_GROUPS, multiple_of=GROUP)]
    """Positions that a program may address, prompt and answer together."""

    prefill_chunk: Annotated[int, Field(ge=1, le=MOST_ROWS)]
    """Tokens of one prefill chunk, a multiple of mpe.tokens."""

    def replace(self, changes: Mapping[str, Any]) -> Self:
        """Return this design with fields changed, named by dotted keys such as "mpe.tokens".

        Raises:
            DesignError: a key does not exist, or the changed design is not valid.
        """
        values = self.model_dump()
        for key, value in changes.items():
            *outer, last = key.split(".")
            target = values
            for step in outer:
                target = target.setdefault(step, {})
            target[last] = value
        return type(self).from_mapping(values, self.name)

    @property
    def family(self) -> ChipFamily:
        """What the part's family has and needs."""
        return FAMILIES[self.part.family]

    @property
    def hash(self) -> str:
        """Identity of the hardware as programs and images see it: 64 bits as 16 hex digits.

        The name, the part, the clock, the DRAM and the ports to it do not change what a program
        does and are left out.
        """
        values = self.model_dump(mode="json", include=set(HASHED), exclude={"memory": BEYOND})
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    # Time and bandwidth

    @property
    def clock_hz(self) -> int:
        """Core clock in Hz."""
        return self.clock_mhz * 1_000_000

    @property
    def channels_per_core(self) -> int:
        """Memory channels that each core owns."""
        return self.memory.channels // self.cores

    @property
    def channels(self) -> int:
        """Memory channels that feed the cores; the rest is left to host and program."""
        return self.cores * self.channels_per_core

    @property
    def bytes_per_cycle(self) -> int:
        """Bytes a cycle from the channels of all cores."""
        return self.channels * self.memory.beat_bytes

    @property
    def bytes_per_second(self) -> int:
        """Bytes a second from the channels of all cores, at the core clock."""
        return self.bytes_per_cycle * self.clock_hz

    @property
    def capacity_bytes(self) -> int:
        """Size of the external memory in bytes, all channels."""
        return self.memory.capacity_mib * MIB

    @property
    def channel_bytes(self) -> int:
        """Size of one memory channel in bytes."""
        return self.memory.channel_bytes

    # Matrix engine

    @property
    def chains_per_channel(self) -> int:
        """Chains that one channel feeds: a beat is one 4-bit weight for each multiplier."""
        return self.memory.beat_bytes * 2 // BLOCK

    @property
    def chains_per_core(self) -> int:
        """Chains of one core, each computing one row of a row block."""
        return self.channels_per_core * self.chains_per_channel

    @property
    def rows(self) -> int:
        """Rows of a row block: output rows computed at once by all cores."""
        return self.cores * self.chains_per_core

    @property
    def macs_per_cycle(self) -> int:
        """INT8 multiply-accumulates a cycle, all cores and tokens."""
        return self.rows * BLOCK * self.mpe.tokens

    # Buffers, each core

    @property
    def stream_beats(self) -> int:
        """Beats that the stream FIFO of one channel holds."""
        return self.buffers.stream_kib * KIB // (self.channels_per_core * self.memory.beat_bytes)

    @property
    def vector_word_bytes(self) -> int:
        """Bytes of a vector buffer word."""
        return self.sfu.lanes * 4

    @property
    def vector_words(self) -> int:
        """Words of the vector buffer."""
        return self.buffers.vector_kib * KIB // self.vector_word_bytes

    @property
    def activation_word_bytes(self) -> int:
        """Bytes of an activation buffer word: a chain's activations for every token."""
        return self.mpe.tokens * BLOCK

    @property
    def activation_words(self) -> int:
        """Words of the activation buffer."""
        return self.buffers.activation_kib * KIB // self.activation_word_bytes

    @property
    def activation_groups(self) -> int:
        """Groups of mpe.tokens rows that the activation buffer holds."""
        return self.activation_words * BLOCK // GROUP

    @property
    def staging_bytes(self) -> int:
        """Bytes of the staging buffer for new keys and values."""
        return self.buffers.staging_kib * KIB

    @property
    def program_bytes(self) -> int:
        """Bytes of the program buffer."""
        return self.buffers.program_kib * KIB

    @property
    def banks(self) -> list[Bank]:
        """The on-chip memories of all cores that are block memories, as they are built."""
        cores, memory, sparse = self.cores, self.memory, self.mpe.sparse
        beat = 64 * self.chains_per_core
        rings = ring_banks(self.stream_beats, sparse=sparse)
        half, rows = 8 * BLOCK, self.staging_bytes // (GROUP + SCALE_BYTES)
        tokens, groups = self.mpe.tokens, self.activation_groups
        banks = [
            *(
                Bank(f"stream {name.lower()}", beat, depth, count * cores)
                for name, (depth, count) in rings.items()
            ),
            Bank(
                "vector", 32 * self.sfu.lanes, self.vector_words // VECTOR_BANKS,
                VECTOR_BANKS * cores, piece=32,
            ),
            Bank("activation", half * tokens, 2 * groups, cores, piece=half),
            Bank("activation side", SIDE_BITS * tokens, groups, cores, piece=SIDE_BITS),
            Bank("staging", half, self.staging_bytes // BLOCK, cores),
            Bank("staging scale", 8 * SCALE_BYTES, rows, cores),
            # One sequencer serves all cores.
            Bank(
                "program", 8 * INSTRUCTION_BYTES, self.program_bytes // INSTRUCTION_BYTES,
                1, piece=LIMB,
            ),
            Bank("functions", *FUNCTION_TABLE, self.sfu.lanes // 2 * cores),
            Bank("root", *ROOT_TABLE, cores),
            Bank("steps", STEP_BITS, MOST_ROW_GROUPS, cores),
            Bank("reciprocals", 32, RECIPROCALS, cores),
        ]  # fmt: skip
        if memory.ports > 1:
            # Behind each port a memory for each part of a beat, with memory's response.
            copies = memory.ports**2 * self.channels
            beats = kept_beats(memory.beat_bytes)
            banks.append(Bank("ports", 8 * memory.port_bytes + RESPONSE_BITS, beats, copies))
        return [bank for bank in banks if bank.depth > SHALLOW]

    # Resources, all cores

    @property
    def blocks(self) -> Blocks:
        """Memory blocks that the on-chip memories take."""
        return bind_memories(self.banks, Blocks(self.part.bram36, self.part.uram)).blocks

    @property
    def multiplier_dsps(self) -> int:
        """DSP blocks of the chains."""
        return -(-self.macs_per_cycle // self.family.dsp.int8_macs)

    @property
    def accumulator_dsps(self) -> int:
        """DSP blocks that scale and accumulate groups: a set for each chain and token, or two."""
        sets = 2 if self.mpe.sparse else 1
        return self.rows * self.mpe.tokens * self.family.dsp.accumulator * sets

    @property
    def output_width(self) -> int:
        """Results that each core finishes in a cycle."""
        rows, tokens = self.chains_per_core, self.mpe.tokens
        return output_width(rows=rows, block_rows=self.rows, tokens=tokens, lanes=self.sfu.lanes)

    @property
    def output_dsps(self) -> int:
        """DSP blocks that turn accumulators into fp32 results."""
        return self.cores * self.output_width * self.family.dsp.output

    @property
    def sfu_dsps(self) -> int:
        """DSP blocks of the SFUs."""
        family = self.family
        return self.cores * (self.sfu.lanes * family.dsp.lane + family.dsp.scalar)

    @property
    def address_dsps(self) -> int:
        """DSP blocks that multiply addresses and registers."""
        dsp = self.family.dsp
        address = dsp.address + (dsp.pattern if self.mpe.sparse else 0)
        return self.cores * address + dsp.sequencer

    @property
    def dsps(self) -> int:
        """DSP blocks of the whole design."""
        return (
            self.multiplier_dsps
            + self.accumulator_dsps
            + self.output_dsps
            + self.sfu_dsps
            + self.address_dsps
        )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for key, expected, actual in self._impossibilities():
            raise PydanticCustomError(
                "impossible", "{expected}", {"key": key, "expected": expected, "actual": actual}
            )
        return self

    def _impossibilities(self) -> Iterator[tuple[str, str, str]]:
        """Yield (key, what it must be, what it is) for each rule that spans several fields."""
        if self.cores > self.memory.channels:
            yield "cores", f"at most {self.memory.channels} (memory.channels)", str(self.cores)
            return
        for key, expected, actual in self.memory.impossibilities():
            yield f"memory.{key}", expected, actual
            return
        for key, expected, actual in self.memory.dram.impossibilities(self.memory.kind):
            yield f"memory.dram.{key}", expected, actual
            return
        if self.memory.dram.part and self.channel_bytes > self.memory.channel.capacity_bytes:
            most = self.memory.channel.capacity_bytes * self.memory.channels // MIB
            actual = str(self.memory.capacity_mib)
            yield "memory.capacity_mib", f"at most {most} (memory.dram)", actual
        if self.prefill_chunk % self.mpe.tokens:
            multiple = f"a multiple of {self.mpe.tokens} (mpe.tokens)"
            yield "prefill_chunk", multiple, str(self.prefill_chunk)
        if self.stream_beats < MIN_STREAM_BEATS:
            least = -(-MIN_STREAM_BEATS * self.channels_per_core * self.memory.beat_bytes // KIB)
            enough = f"at least {least} ({MIN_STREAM_BEATS} beats for each of a core's channels)"
            yield "buffers.stream_kib", enough, str(self.buffers.stream_kib)
        if self.vector_words > MOST_WORDS:
            most = MOST_WORDS * self.vector_word_bytes // KIB
            limit = f"at most {most} ({MOST_WORDS} words)"
            yield "buffers.vector_kib", limit, str(self.buffers.vector_kib)
        group_bytes = self.mpe.tokens * GROUP
        if self.activation_groups < MIN_GROUPS:
            limit = f"at least {MIN_GROUPS * group_bytes // KIB} ({MIN_GROUPS} groups)"
            yield "buffers.activation_kib", limit, str(self.buffers.activation_kib)
        if self.activation_groups > MOST_GROUPS:
            limit = f"at most {MOST_GROUPS * group_bytes // KIB} ({MOST_GROUPS} groups)"
            yield "buffers.activation_kib", limit, str(self.buffers.activation_kib)
        if self.dsps > self.part.dsp:
            budget = f"a design of at most {self.part.dsp} {self.family.dsp.name} (part.dsp)"
            yield "mpe", budget, f"one of {self.dsps}"
        limit = Blocks(self.part.bram36, self.part.uram)
        if not self.blocks.fits(limit):
            yield "buffers", f"memories of at most {limit} (part)", str(self.blocks)
