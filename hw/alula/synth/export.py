"""A design as a folder that a vendor's tools take: Verilog, file list, constraints, scripts."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from alula.design import Design
from alula.folders import new_folder
from alula.synth import nextpnr_flow, vivado
from alula.synth.order import order_number
from alula.synth.report import Progress
from alula.synth.tools import SynthError
from alula.synth.verilog import scanned, verilog

Scripts = Callable[[Design, Sequence[str]], dict[str, str]]
"""From a design and names of its modules to the texts of constraints and scripts by name."""

_DESIGN = "design.json"
_SCRIPTS: dict[str, Scripts] = {"vivado": vivado.scripts, "nextpnr": nextpnr_flow.scripts}
"""By `ChipFamily.flow`."""


def export(
    design: Design,
    place: Path,
    *,
    force: bool = False,
    progress: Progress = lambda stage, done, total: None,
) -> list[str]:
    """Write a design to a folder, whole or not at all, and return the names of its files.

    The Verilog is in ``rtl``, a file a module; ``NAME.f`` lists it, the top first. ``design.json``
    is the design itself.

    Args:
        design: what to export.
        place: the folder; it must not exist or be empty.
        force: an earlier export may be there, and is replaced.
        progress: called for each step.

    Raises:
        SynthError: there is something else at `place`, or the design does not name its chip.
        OSError: it cannot be written.
    """
    earlier = _earlier(place, force)
    order_number(design)
    progress("verilog", 0, 1)
    # nextpnr must have pins for all ports of a top; Vivado builds out of context.
    modules = scanned(design) if design.family.flow == "nextpnr" else verilog(design)
    progress("verilog", 1, 1)
    paths = [f"rtl/{name}.v" for name in modules]
    texts = dict(zip(paths, modules.values(), strict=True))
    texts[f"{design.name}.f"] = "".join(f"{path}\n" for path in paths)
    texts[_DESIGN] = json.dumps(design.model_dump(mode="json"), indent=2) + "\n"
    texts |= _SCRIPTS[design.family.flow](design, list(modules))
    with new_folder(place, replace=earlier) as folder:
        (folder / "rtl").mkdir()
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
            if text.startswith("#!"):
                (folder / name).chmod(0o755)
    return list(texts)


def _earlier(place: Path, force: bool) -> bool:
    """Return whether an export is at `place`, which may be replaced."""
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        return False
    if force and (place / _DESIGN).is_file() and (place / "rtl").is_dir():
        return True
    wanted = "an earlier export, or new or empty" if force else "new or empty (or --force given)"
    raise SynthError(f"the folder must be {wanted}, not {place}")
