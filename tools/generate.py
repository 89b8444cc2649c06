"""Write all generated text, or check that what is committed is what would be written.

A whole file is made by a function that returns its text. A section of a hand-written file stands
between `<!-- generated: NAME -->` and `<!-- end: NAME -->` and is made the same way.
"""

import argparse
import importlib
import sys
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

FILES = {
    "designs/design.schema.json": "alula.design:Design.schema_text",
    "designs/recipes/perplexity.json": "benchmarks.compression_page:ratios_text",
    "designs/recipes/recipe.schema.json": "alula.compress.recipe:Recipe.schema_text",
    "designs/devices/devices.schema.json": "alula.runtime.planning.devices:Devices.schema_text",
    "designs/sweeps/sweep.schema.json": "alula.explore.sweep_file:Sweep.schema_text",
    "docs/pictures/machine.svg": "tools.pictures:machine",
    "docs/pictures/weight.svg": "tools.pictures:weight",
    "docs/reference/cli.md": "tools.reference:cli_text",
    "docs/reference/design.md": "tools.reference:design_text",
    "docs/reference/devices.md": "tools.reference:devices_text",
    "docs/reference/registers.md": "tools.reference:registers_text",
    "docs/reference/isa.md": "tools.isa_reference:reference_text",
    "docs/reference/gguf.md": "alula.runtime.gguf_reference:reference_text",
    "docs/reference/models.md": "alula.frontend.families.table:table_text",
}
SECTIONS = {
    ("docs/explanation/cost.md", "energy"): "alula.cost.energy:table_text",
    ("docs/explanation/gateware.md", "latencies"): "alula.gateware.top.latencies:table_text",
    ("docs/explanation/resources.md", "held-out"): "benchmarks.resources:table_text",
    ("docs/how-to/compress.md", "measured"): "benchmarks.compression_page:table_text",
    ("docs/how-to/plan.md", "exact"): "benchmarks.gpu_page:exact_text",
    ("docs/how-to/plan.md", "held-out"): "benchmarks.gpu_page:held_out_text",
    ("docs/how-to/plan.md", "split"): "benchmarks.gpu_page:split_text",
    ("README.md", "designs"): "alula.design.table:table_text",
    ("README.md", "measured"): "benchmarks.table:table_text",
    ("README.md", "synthesised"): "benchmarks.table:synthesis_text",
}


def call(target: str) -> str:
    """Return the text that `module:function` makes."""
    module, function = target.split(":")
    return attrgetter(function)(importlib.import_module(module))()


def with_section(text: str, name: str, body: str, where: str) -> str:
    """Return `text` with the section `name` replaced by `body`."""
    start, end = f"<!-- generated: {name} -->\n", f"<!-- end: {name} -->"
    if text.count(start) != 1 or text.count(end) != 1:
        raise SystemExit(f"{where} must hold {start.strip()} and {end} once each")
    head, rest = text.split(start)
    return head + start + body + end + rest.split(end)[1]


def generated() -> Iterator[tuple[Path, str]]:
    """Yield each generated file with the text it should hold."""
    for name, target in FILES.items():
        yield ROOT / name, call(target)
    texts: dict[str, str] = {}
    for (name, section), target in SECTIONS.items():
        text = texts.get(name) or (ROOT / name).read_text(encoding="utf-8")
        texts[name] = with_section(text, section, call(target), name)
    for name, text in texts.items():
        yield ROOT / name, text


def main() -> int:
    """Write the generated text, or with --check compare it; return 1 on a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    check = parser.parse_args().check
    stale = []
    for path, text in generated():
        old = path.read_text(encoding="utf-8") if path.exists() else None
        if old == text:
            continue
        stale.append(str(path.relative_to(ROOT)))
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if not check:
        print(f"generated text: {', '.join(stale) or 'nothing'} written")
        return 0
    if stale:
        print(f"generated text differs in {', '.join(stale)}; to fix it: make docs")
        return 1
    print("generated text: as generated")
    return 0


if __name__ == "__main__":
    sys.exit(main())
