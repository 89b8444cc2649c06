"""The README's table of the shipped designs."""

from alula.design.loading import load_design
from alula.design.shipped import shipped_designs

HEAD = (
    "design",
    "MHz declared",
    "cores",
    "channels used",
    "bytes/cycle",
    "GB/s at it",
    "MACs/cycle",
    "DSP",
    "BRAM36",
    "UltraRAM",
)


def table_text() -> str:
    """Return a Markdown table with a line for each shipped design."""
    lines = [f"| {' | '.join(HEAD)} |", "|---" + "|--:" * (len(HEAD) - 1) + "|"]
    for name, path in shipped_designs().items():
        design = load_design(path)
        part, blocks = design.part, design.blocks
        cells = [
            f"`{name}`",
            design.clock_mhz,
            design.cores,
            f"{design.channels} of {design.memory.channels}",
            f"{design.bytes_per_cycle:,}",
            f"{design.bytes_per_second / 1e9:.1f}",
            f"{design.macs_per_cycle:,}",
            f"{design.dsps:,} of {part.dsp:,}",
            f"{blocks.bram36:,g} of {part.bram36:,}",
            f"{blocks.uram:,} of {part.uram:,}",
        ]
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return "\n".join(lines) + "\n"
