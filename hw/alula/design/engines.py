"""What a core is made of: matrix engine, special functions, buffers."""

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StrictBool

from alula.design.record import Record, Whole

BLOCK = 16
"""Inputs of a block: the multipliers of a chain, 8 DSP groups of 2; the M of its N:M patterns."""

GROUP = 32
"""Inputs that share a quantisation scale: of weights, with a min, and of activations.

Every vector is padded to a multiple of it.
"""

INSTRUCTION_BYTES = 16
"""An instruction in the program."""

VECTOR_BANKS = 4
"""Banks of the vector buffer, which takes turns among them word by word."""

OUTPUT_CYCLES = 8
"""Cycles in which the results of a row block should be finished."""

MOST_WORDS = 1 << 16
"""Words of a vector buffer that MISC can address."""

MOST_GROUPS = 1 << 16
"""Groups of an activation buffer that MISC can address."""

MOST_STAGING_KIB = 2048
"""Staging that MISC can address, by rows of one group."""

MOST_ROW_GROUPS = 512
"""Groups of the longest row that MISC quantises."""

SIDE_BITS = 32
"""What stands beside a group of activations: its scale, its sum, the row's exponent."""

LIMB = 32
"""Bits that the host writes of an instruction at once."""

FUNCTION_TABLE = (42, 1664)
"""Bits and words of the tables of an SFU lane's functions; two lanes share them."""

ROOT_TABLE = (41, 768)
"""Those of an SFU's reciprocal and root."""

STEP_BITS = 32
"""A group's quantisation step."""

RECIPROCALS = 512
"""Those of quantisation scales, which MISC looks up."""

SCALE_BYTES = 2
"""The scale of a row of keys or values."""

MOST_ACCUMULATOR_BITS = 48
"""Bits of the accumulators that are built."""

MOST_ROWS = 255
"""Rows of an instruction of MISC."""

MOST_PROGRAM_KIB = 1024
"""Program that 16 bits address, by instructions of 16 bytes."""

KiB = Annotated[int, Field(ge=1, le=1 << 20)]


class Mpe(Record):
    """The matrix processing engine: chains of multipliers, as many as the memory stream feeds."""

    removed: ClassVar[Mapping[str, str]] = {
        "lanes": f"left out (every chain has {BLOCK} multipliers)",
    }

    tokens: Annotated[Literal[2, 4, 8, 16, 32], Whole]
    """Activation rows that share one pass over the weights; a DSP block multiplies two."""

    accumulator_bits: Annotated[int, Field(ge=32, le=MOST_ACCUMULATOR_BITS)]
    """Width of a row's integer accumulator in bits."""

    sparse: StrictBool = False
    """N:M patterns: a MUX of 16 inputs before each multiplier, and sums of several rows a chain."""


class Sfu(Record):
    """The special function unit (MISC): fp32 lanes beside the vector buffer."""

    lanes: Annotated[Literal[2, 4, 8, 16], Whole]
    """fp32 values a cycle; a lane is 4 bytes of a vector buffer word.

    At most 16: a sum has 64 partials, which must outlast the four stages of an adder.
    """


class Buffers(Record):
    """On-chip memories, KiB in each core."""

    stream_kib: KiB
    """Weight stream FIFOs, shared evenly by the core's channels."""

    vector_kib: KiB
    """fp32 vectors; a word is sfu.lanes x 4 bytes."""

    activation_kib: KiB
    """Quantised activations; a word is mpe.tokens x 16 bytes."""

    staging_kib: Annotated[KiB, Field(le=MOST_STAGING_KIB)]
    """New keys and values on their way to memory; a word is 16 bytes."""

    program_kib: Annotated[KiB, Field(le=MOST_PROGRAM_KIB)]
    """Instructions, once for all cores; a word is 16 bytes."""


def output_width(*, rows: int, block_rows: int, tokens: int, lanes: int) -> int:
    """Results a cycle: enough for a row block in `OUTPUT_CYCLES` if they still share a word."""
    widest = math.gcd(rows, block_rows, lanes)
    width = 1
    while width < widest and widest % (2 * width) == 0 and rows * tokens > OUTPUT_CYCLES * width:
        width *= 2
    return width
