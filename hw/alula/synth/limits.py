"""What a design's modules may take at most: LUT levels, and combinational paths between ports."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from alula.synth.timing import TimingEstimate


@dataclass(frozen=True)
class ModuleLimit:
    """Of all modules of one class.

    Attributes:
        levels: LUT levels of the deepest path, the shared modules in it left out.
        through: by output, the inputs from which a path leads to it without a register.
    """

    levels: int
    through: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Limits:
    """By the name of a component's class."""

    modules: Mapping[str, ModuleLimit]

    @classmethod
    def found(cls, estimate: TimingEstimate) -> "Limits":
        """What a design takes."""
        levels: dict[str, int] = {}
        pairs: dict[str, set[tuple[str, str]]] = {}
        for name, timing in estimate.modules.items():
            kind = name.partition("_")[0]
            levels[kind] = max(levels.get(kind, 0), timing["levels"])
            pairs.setdefault(kind, set()).update(
                (path["end"], path["start"]) for path in timing["combinational"]
            )
        return cls({kind: ModuleLimit(levels[kind], _by_end(pairs[kind])) for kind in levels})

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "Limits":
        """From `as_dict`."""
        return cls(
            {
                kind: ModuleLimit(
                    one["levels"], {end: tuple(starts) for end, starts in one["through"].items()}
                )
                for kind, one in values.items()
            }
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            kind: {"levels": one.levels, "through": {e: list(s) for e, s in one.through.items()}}
            for kind, one in sorted(self.modules.items())
        }

    def excess(self, found: "Limits") -> Iterator[str]:
        """Yield a line for each thing that is more than these limits."""
        for kind, one in found.modules.items():
            limit = self.modules.get(kind)
            if limit is None:
                yield f"{kind} must have limits, and has none"
                continue
            if one.levels > limit.levels:
                yield f"{kind} must have at most {limit.levels} LUT levels, not {one.levels}"
            for end, start in sorted(_pairs(one) - _pairs(limit)):
                yield f"{kind} must have a register between {start} and {end}, or declare the path"

    def tightened(self, found: "Limits") -> "Limits":
        """Return these limits where what was found is not less; classes that are gone are gone."""
        return Limits(
            {
                kind: ModuleLimit(
                    min(one.levels, self.modules[kind].levels),
                    _by_end(_pairs(one) & _pairs(self.modules[kind])),
                )
                for kind, one in found.modules.items()
                if kind in self.modules
            }
        )


def _pairs(limit: ModuleLimit) -> set[tuple[str, str]]:
    return {(end, start) for end, starts in limit.through.items() for start in starts}


def _by_end(pairs: set[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for end, start in sorted(pairs):
        found[end] = (*found.get(end, ()), start)
    return found
