"""What runs programs: the protocol that every device follows, and the devices by name."""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from alula.design import Design
from alula.isa import Image, Program
from alula.runtime.errors import DeviceError

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


def _open_model(design: Design) -> Device:
    from alula.runtime.model_device import ModelDevice

    return ModelDevice(design)


DEVICES: Mapping[str, Callable[[Design], Device]] = {"model": _open_model}
"""The devices there are: name to what opens one for a design."""

LATER: Mapping[str, str] = {
    "rtl": "the simulated gateware is not in this release",
    "board": "boards are not in this release",
}
"""Names that are taken, and why they do not work."""


def check_device(name: str) -> None:
    """Raise DeviceError, with the reason, unless a device has this name."""
    if name not in DEVICES:
        reason = f": {LATER[name]}" if name in LATER else ""
        raise DeviceError(f"device must be {' or '.join(DEVICES)}, not {name!r}{reason}")


def open_device(name: str, design: Design) -> Device:
    """Return the device of this name for a design. DeviceError if there is none."""
    check_device(name)
    return DEVICES[name](design)
