"""What a component's signature says of its ports: streams, and all others."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import stream, wiring

_Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Port:
    """A port of the emitted module. `inward`: the bench sets it."""

    name: str
    shape: Any
    inward: bool

    @property
    def width(self) -> int:
        """Bits; a port without any is not in the module."""
        return Shape.cast(self.shape).width


@dataclass(frozen=True)
class StreamPort:
    """A stream. `inward`: the unit takes from it. A part that is None counts as always high."""

    name: str
    inward: bool
    payload: Port
    valid: Port | None
    ready: Port | None

    @property
    def parts(self) -> list[Port]:
        """The ports that it is made of."""
        return [part for part in (self.payload, self.valid, self.ready) if part is not None]


def find_ports(component: wiring.Component) -> tuple[list[StreamPort], list[Port]]:
    """Return the streams of a component, and the ports that belong to none."""
    leaves = {
        path: Port("__".join(map(str, path)), value.shape(), member.flow == wiring.In)
        for path, member, value in component.signature.flatten(component)
    }
    streams = []
    for path, signature in _streams(component.signature, ()):
        payload = leaves.pop((*path, "payload"))
        valid, ready = leaves.pop((*path, "valid")), leaves.pop((*path, "ready"))
        streams.append(
            StreamPort(
                "__".join(map(str, path)),
                payload.inward,
                payload,
                None if signature.always_valid else valid,
                None if signature.always_ready else ready,
            )
        )
    return streams, list(leaves.values())


def _streams(signature: Any, path: _Path) -> Iterator[tuple[_Path, stream.Signature]]:
    plain = signature.flip() if isinstance(signature, wiring.FlippedSignature) else signature
    if isinstance(plain, stream.Signature):
        yield path, plain
        return
    for name, member in signature.members.items():
        if member.is_port:
            continue
        for index in _indices(member.dimensions):
            yield from _streams(member.signature, (*path, name, *index))


def _indices(dimensions: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    if not dimensions:
        yield ()
        return
    for first in range(dimensions[0]):
        for rest in _indices(dimensions[1:]):
            yield first, *rest
