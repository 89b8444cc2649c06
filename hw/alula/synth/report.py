"""What a design takes of its part, module by module, as Yosys finds it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

from alula.chips import ChipFamily, Use
from alula.design import Design
from alula.synth.netlists import Netlists, Progress, cells_of, netlists
from alula.synth.timing import Lines, TimingEstimate, estimate
from alula.synth.tools import SynthError, yosys
from alula.synth.verilog import described, instances


@dataclass(frozen=True)
class ModuleUse:
    """What a module takes, without the shared modules in it, and how often it is there."""

    module: str
    instances: int
    use: Use

    @property
    def total(self) -> Use:
        """All its instances."""
        return self.use * self.instances


@dataclass(frozen=True)
class Report:
    """A design, synthesised for its part, and how fast it might be.

    Every module is synthesised once, so that nothing is optimised across its ports: the sum is an
    upper bound of what the whole takes.
    """

    design: Design
    tool: str
    modules: tuple[ModuleUse, ...]
    netlists: Netlists
    lines: Lines

    @cached_property
    def timing(self) -> TimingEstimate:
        """How fast the design might be; estimated when it is first asked for.

        Raises:
            SynthError: no delays are known of a cell.
        """
        return estimate(self.netlists, self.design, self.lines)

    @property
    def total(self) -> Use:
        """All modules."""
        return sum((module.total for module in self.modules), Use())

    @property
    def shares(self) -> dict[str, float]:
        """Each resource's share of the part."""
        return self.total.shares(self.design.part)

    @property
    def fits(self) -> bool:
        """Whether the part has all of it."""
        return self.total.fits(self.design.part)

    def as_dict(self) -> dict[str, object]:
        """Return the report as plain values."""
        return {
            "design": self.design.name,
            "design_hash": self.design.hash,
            "part": self.design.part.model_dump(),
            "tool": self.tool,
            "total": asdict(self.total),
            "share": self.shares,
            "fits": self.fits,
            "declared": asdict(declared(self.design)),
            "timing": self.timing.as_dict(),
            "modules": [
                {"module": item.module, "instances": item.instances, "each": asdict(item.use)}
                for item in self.modules
            ],
        }


def declared(design: Design) -> Use:
    """Return what the design file declares; LUTs and flip-flops it does not."""
    blocks = design.blocks
    return Use(dsp=design.dsps, bram36=blocks.bram36, uram=blocks.uram)


def synthesise(
    design: Design,
    progress: Progress = lambda stage, done, total: None,
    *,
    workers: int | None = None,
) -> Report:
    """Synthesise every module of a design for its part's family, UltraScale+ in place of Versal.

    Args:
        design: what to synthesise.
        progress: called for each module.
        workers: modules at once; as many as there are processors if not given.

    Raises:
        SynthError: Yosys is missing, or refuses a module.
    """
    family = design.family
    tool = yosys()
    progress("verilog", 0, 1)
    written = described(design)
    modules = written.modules
    progress("verilog", 1, 1)
    found = netlists(modules, family.synthesis, tool, progress, workers)
    return Report(
        design,
        tool.version,
        module_uses(modules, {name: cells_of(text) for name, text in found.items()}, family),
        found,
        written.sources,
    )


def module_uses(
    modules: Mapping[str, str], found: Mapping[str, Mapping[str, int]], family: ChipFamily
) -> tuple[ModuleUse, ...]:
    """Return what modules take of a part, from their cells by kind."""
    counts = instances(modules)
    uses = []
    for name, kinds in found.items():
        own = {kind: count for kind, count in kinds.items() if kind not in modules}
        try:
            uses.append(ModuleUse(name, counts[name], family.use_of(own)))
        except KeyError as error:
            raise SynthError(f"cells of {name} must be of {family.name}, not {error}") from None
    return tuple(uses)
