"""Weight formats that a program may name but this machine refuses."""

from __future__ import annotations

from alula.isa import FORMATS
from alula.model.errors import Unsupported

__all__ = ["check_format"]


def check_format(name: str, fmt: str, nm: str) -> None:
    """Unsupported if instruction `name` asks for a reserved format or pattern."""
    if fmt not in FORMATS:
        raise Unsupported(f"{name} fmt must be one of {', '.join(FORMATS)}, not {fmt}")
    if nm != "dense":
        raise Unsupported(f"{name} nm must be dense, not {nm}")
