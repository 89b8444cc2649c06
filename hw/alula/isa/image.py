"""A memory image: what stands in the accelerator's memory before the first run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alula.isa.container import read_container, write_container

MAGIC = b"ALULAIMG"


@dataclass(frozen=True)
class Region:
    """A named run of beats. `stored`: its contents are in the image; otherwise it starts as zeros."""

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

    def save(self, path: Path) -> None:
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
        write_container(path, MAGIC, header, [np.ascontiguousarray(self.data).data.cast("B")])

    @classmethod
    def load(cls, path: Path) -> Image:
        """Map an image file (copy on write). ContainerError if it is truncated."""
        header, payload = read_container(path, MAGIC)
        regions = {name: Region(*values) for name, values in header["regions"].items()}
        return cls(header["design_hash"], payload.reshape(-1, header["beat_bytes"]), regions)
