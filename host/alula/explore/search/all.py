"""All points, one after the other."""

from collections.abc import Mapping, Sequence

from alula.explore.row import Row


class All:
    """Asks about each point once, up to a number of them.

    Args:
        numbers: the points.
        most: points at most.
    """

    def __init__(self, numbers: Sequence[int], most: int | None = None) -> None:
        self._waiting = list(numbers)[:most]

    @property
    def left(self) -> int:
        """Points that are still to be asked about."""
        return len(self._waiting)

    def ask(self) -> Sequence[int]:
        """Return all points the first time, then none."""
        asked, self._waiting = self._waiting, []
        return asked

    def tell(self, rows: Mapping[int, Row]) -> None:
        """Nothing depends on what they are."""
