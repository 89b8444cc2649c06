"""What is found of a point."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self


@dataclass
class Row:
    """A point's results; what could not be found is None, and `reason` says why.

    Attributes:
        values: The axes' values by dotted key.
        source: How the cycles were found.
        design_hash: The design's.
        decode_cycles: Cycles of one decoded token in the layer.
        clock: How the clock of the microseconds is known: the design declares it.
        decode_us: The same at that clock, in microseconds.
        decode_bytes: Bytes read from memory for it.
        prefill_cycles, prefill_us, prefill_bytes: Of the whole prompt.
        matches_model: All of memory equals the machine model's after each run.
        lut, ff, dsp, bram36, uram: What the design takes, as Yosys finds it.
        share: The largest share of the part that one of them is.
        reason: Why something could not be found, whole: it may have several lines.
    """

    values: Mapping[str, Any]
    source: str = "simulated"
    clock: str = "declared"
    design_hash: str | None = None
    decode_cycles: int | None = None
    decode_us: float | None = None
    decode_bytes: int | None = None
    prefill_cycles: int | None = None
    prefill_us: float | None = None
    prefill_bytes: int | None = None
    matches_model: bool | None = None
    lut: int | None = None
    ff: int | None = None
    dsp: int | None = None
    bram36: float | None = None
    uram: int | None = None
    share: float | None = None
    reason: str | None = field(default=None)

    def as_dict(self) -> dict[str, Any]:
        """Return the row as one flat mapping, the axes first."""
        return {**self.values, **self.results()}

    def results(self) -> dict[str, Any]:
        """Return what was found, without the axes' values."""
        own = {item.name: getattr(self, item.name) for item in fields(self)}
        del own["values"]
        return own

    @classmethod
    def restored(cls, values: Mapping[str, Any], results: Mapping[str, Any]) -> Self | None:
        """Return the row that has these `results`; None if they are another version's."""
        names = {item.name for item in fields(cls)} - {"values"}
        return cls(values, **results) if results.keys() == names else None

    @property
    def complete(self) -> bool:
        """Everything was found, which ends with the synthesis."""
        return self.share is not None

    @property
    def microseconds(self) -> float | None:
        """Time of all that was run, in microseconds."""
        parts = [part for part in (self.decode_us, self.prefill_us) if part is not None]
        return sum(parts) if parts else None
