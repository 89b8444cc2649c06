"""Signals of a simulation that its build keeps visible."""

import ctypes

from alula.rtl.simulation import Simulation
from alula.rtl.taps import Member

_TOP = "top"


class Signal(ctypes.Structure):
    """Where a signal's value lies in the model, and how many bytes it takes."""

    _fields_ = [("place", ctypes.c_void_p), ("bytes", ctypes.c_uint32)]


def signal(simulation: Simulation, member: Member) -> Signal:
    """Find a signal. ValueError if the build does not keep it visible."""
    library = simulation.library
    library.alula_signal.argtypes = [ctypes.c_void_p, *[ctypes.c_char_p] * 2, ctypes.c_void_p]
    scope = f"{_TOP}.{member.scope}"
    found = Signal()
    names = (scope.encode(), member.name.encode())
    library.alula_signal(simulation.model, *names, ctypes.byref(found))
    if not found.bytes:
        raise ValueError(f"the build must keep {member.name} in {scope} visible")
    return found
