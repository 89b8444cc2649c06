"""A memory image: the accelerator's memory before the first run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alula.isa.container import (
    ContainerError,
    checked,
    checked_number,
    read_container,
    write_container,
)

MAGIC = b"ALULAIMG"


@dataclass(frozen=True)
class Region:
    """A named run of beats. `stored`: its contents are in the image, else it starts as zeros."""

    start: int
    beats: int
    stored: bool = True

    @property
    def end(self) -> int:
        """First beat after the region."""
        return self.start + self.beats


@dataclass(frozen=True)
class Image:
    """Contents of memory from beat 0, and the map of all regions.

    `data`: uint8 [beats, B], every stored region lies within it. Regions beyond it are zero.
    """

    design_hash: str
    data: np.ndarray
    regions: Mapping[str, Region]

    @property
    def beats(self) -> int:
        """Beats of memory in use, zeros included."""
        return max((region.end for region in self.regions.values()), default=0)

    def save(self, path: Path | str) -> None:
        """Write the image file."""
        header = {
            "design_hash": self.design_hash,
            "beat_bytes": self.data.shape[1],
            "regions": {
                name: [region.start, region.beats, region.stored]
                for name, region in self.regions.items()
            },
            "payload_bytes": self.data.nbytes,
        }
        flat = np.ascontiguousarray(self.data, np.uint8).reshape(-1)
        write_container(Path(path), MAGIC, header, [flat.data])

    @classmethod
    def load(cls, path: Path | str) -> "Image":
        """Map an image file (copy on write). ContainerError if it is truncated or malformed."""
        path = Path(path)
        header, payload = read_container(path, MAGIC)
        beat_bytes = checked_number(path, "beat_bytes", header.get("beat_bytes"), 1)
        if payload.size % beat_bytes:
            raise ContainerError(
                f"{path}: payload must be whole beats of {beat_bytes} bytes, not {payload.size}"
            )
        data = payload.reshape(-1, beat_bytes)
        regions = checked(path, "regions", header.get("regions"), dict)
        return cls(
            checked(path, "design_hash", header.get("design_hash"), str),
            data,
            {name: _region(path, name, value, len(data)) for name, value in regions.items()},
        )


def _region(path: Path, name: str, value: object, stored_beats: int) -> Region:
    what = f"region {name!r}"
    parts = checked(path, what, value, list)
    if len(parts) != 3:
        raise ContainerError(f"{path}: {what} must be a list of 3, not of {len(parts)}")
    region = Region(
        checked_number(path, f"{what} start", parts[0], 0),
        checked_number(path, f"{what} beats", parts[1], 0),
        checked(path, f"{what} stored", parts[2], bool),
    )
    if region.stored and region.end > stored_beats:
        raise ContainerError(
            f"{path}: {what} must end within the {stored_beats} beats stored, not at {region.end}"
        )
    return region
