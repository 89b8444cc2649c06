"""The sizes that everything between memory and the vector buffer shares."""

from dataclasses import dataclass

from amaranth.utils import ceil_log2

from alula.design import Design


@dataclass(frozen=True, kw_only=True)
class MemorySizes:
    """Sizes of a core's memory and vector buffer.

    Attributes:
        channels: Memory channels of the core.
        beat_bytes: Bytes of one channel's part of a beat, a power of two, at least 8.
        memory_beats: Beats of the memory, at least 2.
        words: Words of the vector buffer.
        lanes: Values of 32 bits of a word.
        cores: Cores that each have a slice of every beat.
    """

    channels: int
    beat_bytes: int
    memory_beats: int
    words: int
    lanes: int
    cores: int = 1

    @classmethod
    def of(cls, design: Design) -> "MemorySizes":
        """Return those of a design's cores."""
        return cls(
            channels=design.channels_per_core,
            beat_bytes=design.memory.beat_bytes,
            memory_beats=design.channel_bytes // design.memory.beat_bytes,
            words=design.vector_words,
            lanes=design.sfu.lanes,
            cores=design.cores,
        )

    @property
    def beat_bits(self) -> int:
        """Bits of a beat's address."""
        return ceil_log2(self.memory_beats)

    @property
    def width(self) -> int:
        """Bytes of this core's slice of a beat."""
        return self.channels * self.beat_bytes

    @property
    def whole_width(self) -> int:
        """Bytes of a beat."""
        return self.cores * self.width

    @property
    def elements(self) -> int:
        """Values that the vector buffer holds."""
        return self.words * self.lanes
