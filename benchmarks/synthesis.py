"""What kv260 takes of its part, module by module, its clock, and the DSP blocks of one chain."""

from alula.design import BLOCK, load_design
from alula.gateware.hdl.repeat import emit
from alula.gateware.matrix.chain import TOKENS, Chain
from alula.synth import synthesise, yosys
from alula.synth.netlists import cells_of, netlists
from alula.synth.report import module_uses
from benchmarks.report import progress_shown, report

CLOCK = ("levels", "mhz", "mhz_fast", "mhz_slow", "endpoints", "endpoints_over")


def measure() -> dict[str, object]:
    design = load_design("kv260")
    family = design.family
    with progress_shown() as progress:
        whole = synthesise(design, progress)
        modules = emit(Chain(target="dsp48e2"), "chain")
        found = netlists(modules, family.synthesis, yosys(), progress)
        cells = {name: cells_of(netlist) for name, netlist in found.items()}
    chain = sum(item.total.dsp for item in module_uses(modules, cells, family))
    table = whole.as_dict()
    timing = table.pop("timing")
    return table | {
        **{name: timing[name] for name in CLOCK},
        "lut_per_mac": whole.total.lut / design.macs_per_cycle,
        "largest_share": max(whole.shares.values()),
        "dsp_beyond_declared": whole.total.dsp - design.dsps,
        "chain_dsps": chain,
        "products_per_dsp": TOKENS * BLOCK / chain,
    }


if __name__ == "__main__":
    report(measure())
