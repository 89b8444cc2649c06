"""What every search does: it asks about points, and is told what they are."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from alula.explore.row import Row


class Searcher(Protocol):
    """Chooses points of a space by their numbers."""

    @property
    def left(self) -> int:
        """Points that may still be asked about, at most."""
        ...

    def ask(self) -> Sequence[int]:
        """Return the next points; none: it has ended."""
        ...

    def tell(self, rows: Mapping[int, Row]) -> None:
        """Take what the points are that were asked about last."""
        ...
