"""How a run began, so that it can be run again."""

from collections.abc import Iterable, Iterator

import numpy as np

from alula.model import Machine
from alula.rtl.device import RtlDevice

_CHUNK = 1 << 20


def differing(expected: np.ndarray, found: np.ndarray) -> Iterator[slice]:
    """Parts of two memories in which there is a difference."""
    for start in range(0, expected.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        if not np.array_equal(expected[part], found[part]):
            yield part


def copy(source: np.ndarray, target: np.ndarray) -> None:
    """Make a memory equal to another; what both have not touched stays so."""
    for part in differing(source, target):
        target[part] = source[part]


class Snapshot:
    """What a machine and a device of the same memory hold before a run.

    Made before the machine's run. `keep` follows before the device's, with the beats of memory that
    the machine has stored to; `restore` may follow as often as wanted. The device's buffers stay as
    they are.
    """

    def __init__(self, machine: Machine, device: RtlDevice) -> None:
        self._machine, self._device = machine, device
        state = machine.state
        self._buffers = [buffer.copy() for buffer in state.buffers]
        self._best = state.best, state.best_index
        self._memory: dict[int, np.ndarray] = {}

    def keep(self, beats: Iterable[int]) -> None:
        """Remember beats that the machine has changed and the device has not."""
        self._memory = {beat: self._device.read(beat, 1) for beat in beats}

    def restore(self) -> None:
        """Go back."""
        state = self._machine.state
        for buffer, kept in zip(state.buffers, self._buffers, strict=True):
            buffer[...] = kept
        state.best, state.best_index = self._best
        for beat, kept in self._memory.items():
            self._machine.write(beat, kept)
        copy(state.memory.bytes, self._device.memory)
