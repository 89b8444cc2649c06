"""Runs random programs on both in lock step, and makes the smallest of what disagrees."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from alula.design import Design
from alula.folders import new_folder
from alula.fuzz.generator import FuzzCase, random_case
from alula.fuzz.text import Text, groups, without
from alula.isa import ContainerError, Image, Program, disassemble
from alula.model import MachineError
from alula.progress import Progress, silent
from alula.rtl.checked import CheckedRun, MemoryMismatch
from alula.rtl.device import Outcome, RtlError, Timing
from alula.rtl.lockstep_device import LockstepDevice
from alula.rtl.report import OutOfStep

_CASE = "case.json"
_PATIENCE = 20_000
_TRIES = 300
"""Runs that making a failing program smaller may take."""


@dataclass(frozen=True)
class Failure:
    """A program on which the two disagree.

    Attributes:
        number: of the program.
        reason: what was found when it ran.
        instructions: of the smallest program that still fails, and before.
        folder: holds that program, its memory, its listing and what was found.
    """

    number: int
    reason: str
    instructions: tuple[int, int]
    folder: Path


@dataclass
class Findings:
    """What a campaign has found so far.

    Attributes:
        programs: run so far. cycles: of the gateware. seconds: of its simulation.
        instructions: of the programs, by name; loops do not count twice.
        failures: the programs on which the two disagree.
    """

    programs: int = 0
    cycles: int = 0
    seconds: float = 0.0
    instructions: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)


class Campaign:
    """Random programs of a seed on one design.

    Args:
        design: of one core.
        seed: programs and memory follow from it, and their number.
        folder: where failing programs go, each in a folder of its own.
        progress: called for each step of the build, then for each program.

    Raises:
        ToolchainError: the gateware cannot be built.
    """

    def __init__(
        self,
        design: Design,
        seed: int,
        folder: Path,
        progress: Progress = silent,
    ) -> None:
        self.design, self.seed, self._folder, self._progress = design, seed, folder, progress
        self._device = LockstepDevice(design, patience=_PATIENCE, progress=progress)

    def run(self, programs: int, first: int = 0) -> Findings:
        """Run so many programs, from number `first` on. OSError if a failure cannot be kept."""
        findings = Findings()
        for number in range(first, first + programs):
            self._progress("random programs", number - first, programs)
            self._one(random_case(self.design, self.seed, number), number, findings)
        self._progress("random programs", programs, programs)
        return findings

    def close(self) -> None:
        """End the simulation."""
        self._device.close()

    def _one(self, case: FuzzCase, number: int, findings: Findings) -> None:
        program = case.program()
        findings.programs += 1
        findings.instructions.update(op.name for op in program.ops)
        found = self._try(case, program)
        if isinstance(found, CheckedRun):
            findings.cycles += found.outcome.cycles
            findings.seconds += found.seconds
            return
        text = _smallest(case.text, lambda text: self._fails(case, text))
        smallest = case.program(text)
        reason = self._try(case, smallest)
        place = self._folder / f"{case.name}"
        _keep(place, smallest, case, str(reason))
        sizes = len(smallest), len(program)
        findings.failures.append(Failure(number, str(found), sizes, place))

    def _fails(self, case: FuzzCase, text: Text) -> bool:
        found = self._try(case, case.program(text))
        # A program that the machine model refuses says nothing of the gateware.
        return isinstance(found, OutOfStep | MemoryMismatch | RtlError)

    def _try(self, case: FuzzCase, program: Program) -> CheckedRun | Exception:
        return _run(self._device, program, case.image, case.timing)


def replay(folder: Path, progress: Progress = silent) -> Outcome:
    """Run again what a campaign kept, in lock step; waves of where they part go into the folder.

    Raises:
        OutOfStep, MemoryMismatch, RtlError: the two still disagree.
        MachineError: the machine model refuses the program.
        ContainerError, OSError: the folder does not hold it.
    """
    program = Program.load(folder / "program.alula")
    image = Image.load(folder / "image.alula")
    place = folder / _CASE
    try:
        settings = json.loads(place.read_text(encoding="utf-8"))
        design, timing = (
            Design.from_mapping(settings["design"], str(place)),
            Timing(**settings["timing"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ContainerError(f"{place}: must be what alula fuzz wrote, not {error!r}") from None
    waves = folder / "waves.fst"
    device = LockstepDevice(design, patience=_PATIENCE, waves=waves, progress=progress)
    found = _run(device, program, image, timing)
    device.close()
    if isinstance(found, Exception):
        raise found
    return found.outcome


def _run(
    device: LockstepDevice, program: Program, image: Image, timing: Timing
) -> CheckedRun | Exception:
    device.device.timing = timing
    device.load(image)
    try:
        return device.run(program, {})
    except (MachineError, OutOfStep, MemoryMismatch, RtlError) as error:
        return error


def _smallest(text: Text, fails: Callable[[Text], bool]) -> Text:
    """Leave out groups, many at first, for as long as what is left fails (Zeller's ddmin)."""
    tries, pieces = _TRIES, 2
    while tries > 0:
        held = list(groups(text))
        size = max(1, len(held) // pieces)
        for dropped in _slices(held, size):
            tries -= 1
            shorter = without(text, dropped)
            if shorter != text and fails(shorter):
                text, pieces = shorter, max(2, pieces - 1)
                break
            if tries <= 0:
                break
        else:
            if size == 1:
                break
            pieces *= 2
    return text


def _slices(held: list[int], size: int) -> Iterator[list[int]]:
    return (held[start : start + size] for start in range(0, len(held), size))


def _keep(place: Path, program: Program, case: FuzzCase, reason: str) -> None:
    # What an earlier campaign of this seed kept is replaced, and nothing else.
    with new_folder(place, replace=(place / _CASE).is_file()) as folder:
        program.save(folder / "program.alula")
        case.image.save(folder / "image.alula")
        (folder / "listing.s").write_text(disassemble(program.ops), encoding="utf-8")
        settings = {"design": case.design.model_dump(mode="json"), "timing": asdict(case.timing)}
        (folder / _CASE).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
        (folder / "found.txt").write_text(reason + "\n", encoding="utf-8")
