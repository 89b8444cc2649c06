"""What runs programs: the protocol that every device follows, and the devices by name."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from alula.design import Design
from alula.design.error import meant
from alula.isa import Image, Program
from alula.runtime.errors import DeviceError
from alula.runtime.progress import Progress, silent

if TYPE_CHECKING:
    from alula.rtl.device import Waves

Bytes = NDArray[np.uint8]


class Device(Protocol):
    """An accelerator of one design, reached through its memory and its programs.

    A device knows nothing of models: a memory image and programs are all it gets.
    """

    @property
    def name(self) -> str:
        """The name it is opened by."""
        ...

    @property
    def counters(self) -> Mapping[str, int]:
        """What the last run counted, by name; empty before the first."""
        ...

    @property
    def seconds(self) -> float:
        """Wall clock of the last run, seconds."""
        ...

    def load(self, image: Image) -> None:
        """Make memory what an image says; its design must be the device's."""
        ...

    def write(self, beat: int, data: Bytes) -> None:
        """Write whole beats of memory, uint8 [count, bytes of a beat], from `beat` on."""
        ...

    def read(self, beat: int, count: int) -> Bytes:
        """Return `count` beats of memory from `beat` on, uint8 [count, bytes of a beat]."""
        ...

    def run(self, program: Program, inputs: Mapping[str, int]) -> None:
        """Run a program to its end, with a value for each of its inputs."""
        ...

    def close(self) -> None:
        """End it, and the files that it writes; no other call may follow."""
        ...


def _open_model(
    design: Design, progress: Progress, lockstep: Path | None, waves: "Waves | None"
) -> Device:
    from alula.runtime.model_device import ModelDevice

    return ModelDevice(design)


def _open_rtl(
    design: Design, progress: Progress, lockstep: Path | None, waves: "Waves | None"
) -> Device:
    from alula.runtime.rtl_device import RtlDevice

    return RtlDevice(design, progress, lockstep, waves)


DEVICES: Mapping[str, Callable[[Design, Progress, Path | None, "Waves | None"], Device]] = {
    "model": _open_model,
    "rtl": _open_rtl,
}
"""The devices there are: name to what opens one for a design, telling how far it is.

The last two are those of `open_device`.
"""

LATER: Mapping[str, str] = {"board": "boards are not in this release"}
"""Names that are taken, and why they do not work."""


def check_device(name: str, lockstep: Path | None = None, waves: "Waves | None" = None) -> None:
    """Raise DeviceError, with the reason, unless a device has this name and can do this."""
    if name not in DEVICES:
        reason = f": {LATER[name]}" if name in LATER else meant(name, DEVICES)
        raise DeviceError(f"device must be {' or '.join(DEVICES)}, not {name!r}{reason}")
    if lockstep is not None and name != "rtl":
        raise DeviceError(f"device must be rtl to go in lock step, not {name!r}")
    if waves is not None and name != "rtl":
        raise DeviceError(f"device must be rtl to write waves, not {name!r}")
    if waves is not None and lockstep is not None:
        raise DeviceError("waves must be of a window or of what lock step finds, not of both")


def open_device(
    name: str,
    design: Design,
    progress: Progress = silent,
    lockstep: Path | None = None,
    waves: "Waves | None" = None,
) -> Device:
    """Return the device of this name for a design.

    Args:
        name: one of `DEVICES`.
        design: the accelerator.
        progress: told how far building the device and long runs are, as long as it lives.
        lockstep: go in lock step with the machine model; waves of a divergence go into this file.
        waves: write waves of these cycles.

    Raises:
        DeviceError: there is no such device, or it cannot do this.
        ToolchainError: what it needs is not on this machine.
    """
    check_device(name, lockstep, waves)
    return DEVICES[name](design, progress, lockstep, waves)
