"""What runs programs: the protocol that every device follows, and the devices by name."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from alula.design import Design
from alula.design.error import listed, meant
from alula.isa import Image, Program
from alula.plugins import Plugin, PluginError, find_plugin, plugin_names
from alula.progress import Progress, silent
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


Opener = Callable[[Design, Progress], Device]
"""Opens a device for a design; `progress` is called with how far long work is until it closes."""

GROUP = "alula.devices"
"""Where other packages register an `Opener` under the name of their device."""


def _open_model(design: Design, progress: Progress) -> Device:
    from alula.runtime.model_device import ModelDevice

    return ModelDevice(design)


def _open_rtl(design: Design, progress: Progress) -> Device:
    from alula.runtime.gateware_device import GatewareDevice

    return GatewareDevice(design, progress)


DEVICES: Mapping[str, Opener] = {"model": _open_model, "rtl": _open_rtl}
"""Alula's own devices by name."""

LATER: Mapping[str, str] = {"board": "boards are not in this release"}
"""Names that are kept free, and why they do not work."""

_MEMBERS = {
    name: not isinstance(member, property)
    for name, member in vars(Device).items()
    if not name.startswith("_")
}
"""What a device must have, and whether its class has it already."""


def device_names() -> list[str]:
    """Return the names of all devices, Alula's own first."""
    return [*DEVICES, *(name for name in plugin_names(GROUP) if name not in DEVICES)]


def find_device(name: str) -> Opener:
    """Return what opens the device of a name.

    Raises:
        DeviceError: there is none.
        PluginError: it is another package's, which has registered what cannot be one.
    """
    plugin = find_plugin(GROUP, name, DEVICES)
    if plugin is None:
        if name in DEVICES:
            return DEVICES[name]
        names = device_names()
        reason = f": {LATER[name]}" if name in LATER else meant(name, names)
        raise DeviceError(f"device must be {listed(names)}, not {name!r}{reason}")
    if not callable(plugin.value):
        raise PluginError(f"a device must be callable, not {plugin.value!r} ({plugin.place})")
    if isinstance(plugin.value, type):
        _check_members(plugin.value, [name for name, early in _MEMBERS.items() if early], plugin)
    return partial(_open_plugin, plugin, plugin.value)


def open_device(device: str | Opener, design: Design, progress: Progress = silent) -> Device:
    """Return a device for a design.

    Args:
        device: the name of one, or what opens one.
        design: the accelerator.
        progress: called with how far building the device and long runs are, as long as it is open.

    Raises:
        DeviceError: there is no such device, or it cannot be opened.
        PluginError: another package's is not a device.
        ToolchainError: what it needs is not on this machine.
    """
    return (find_device(device) if isinstance(device, str) else device)(design, progress)


def _open_plugin(
    plugin: Plugin, opener: Callable[..., Any], design: Design, progress: Progress
) -> Device:
    try:
        device = opener(design, progress)
    except Exception as error:
        if type(error).__module__.startswith("alula."):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise PluginError(f"opening the device failed: {reason} ({plugin.place})") from error
    _check_members(device, _MEMBERS, plugin)
    return device


def _check_members(found: object, members: Iterable[str], plugin: Plugin) -> None:
    missing = [member for member in members if not hasattr(found, member)]
    if missing:
        raise PluginError(f"a device must have {listed(missing, 'and')} ({plugin.place})")
