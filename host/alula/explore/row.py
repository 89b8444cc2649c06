"""What is known of a point: its numbers, how each was found, and by how much it may be off."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self

from alula.explore.shortfall import Shortfall

How = Literal["modelled", "simulated", "synthesised", "estimated", "declared", "measured"]


@dataclass
class Row:
    """A point's results. What is not known is None.

    Attributes:
        values: The axes' values by their names.
        how: How the cycles of a token were found: modelled or simulated; synthesised, if the
            resources were too.
        tokens_per_s: Decoded tokens a second at the end of the context.
        ttft_s: Seconds from a prompt to its first answer.
        energy_j, watts, tokens_per_s_w: Of a decoded token: modelled.
        bytes: That a decoded token reads and writes.
        perplexity, perplexity_ratio: As they were measured; the second over the dense model's.
        dsp, lut, ff, bram36, uram: What the design takes.
        mhz: The clock that seconds are of; `clock` is how it is known.
        decode_cycles, prefill_cycles: Of a token, and of the prompt.
        prefill_bytes: That the prompt reads and writes.
        bound_cycles: The fewest that a decoded token takes on any machine of this size.
        accounts: The token's cycles by what it waited for; they add up.
        engines: Cycles of the token in which each engine works.
        resources: How the resources were found: estimated or synthesised.
        errors: By how much each number may be off, as a share of it; None: that is not known.
        extrapolated: What of the design lies outside of all that was synthesised.
        checked: Cycles of a run in RTL over those modelled of it, less 1; None: no run was.
        checked_layers: Layers that ran in RTL.
        design_hash: The design's.
        shortfall: Why it cannot be.
        failed: What went wrong instead, which is not the point's fault.
    """

    values: Mapping[str, Any]
    how: How = "modelled"
    tokens_per_s: float | None = None
    ttft_s: float | None = None
    energy_j: float | None = None
    watts: float | None = None
    tokens_per_s_w: float | None = None
    bytes: float | None = None
    perplexity: float | None = None
    perplexity_ratio: float | None = None
    dsp: float | None = None
    lut: float | None = None
    ff: float | None = None
    bram36: float | None = None
    uram: float | None = None
    mhz: float | None = None
    clock: str | None = None
    decode_cycles: float | None = None
    prefill_cycles: float | None = None
    prefill_bytes: float | None = None
    bound_cycles: float | None = None
    accounts: Mapping[str, float] = field(default_factory=dict)
    engines: Mapping[str, float] = field(default_factory=dict)
    resources: str | None = None
    errors: dict[str, float | None] = field(default_factory=dict)
    extrapolated: list[str] = field(default_factory=list)
    checked: float | None = None
    checked_layers: int | None = None
    design_hash: str | None = None
    shortfall: Shortfall | None = None
    failed: str | None = None

    @property
    def found(self) -> bool:
        """Whether the point can be, and is known."""
        return self.shortfall is None and self.failed is None

    @property
    def reason(self) -> str | None:
        """Why there are no numbers, as a line."""
        return self.shortfall.line if self.shortfall else self.failed

    def objectives(self, names: list[str]) -> list[float]:
        """Return the values of objectives; NaN where they are not known."""
        found = (getattr(self, name) for name in names)
        return [float("nan") if value is None else float(value) for value in found]

    def results(self) -> dict[str, Any]:
        """Return what was found as plain values, without the axes' values."""
        plain = asdict(self)
        del plain["values"]
        return plain

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain values, the axes apart."""
        return {"values": dict(self.values), **self.results(), "reason": self.reason}

    @classmethod
    def restored(cls, values: Mapping[str, Any], results: Mapping[str, Any]) -> Self | None:
        """Return the row that has these `results`; None if they are another version's."""
        names = {item.name for item in fields(cls)} - {"values"}
        if results.keys() != names:
            return None
        plain = dict(results)
        if plain["shortfall"] is not None:
            plain["shortfall"] = Shortfall(**plain["shortfall"])
        return cls(values, **plain)
