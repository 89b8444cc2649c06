"""The weight stream: what LD has pushed and the MPE has not yet taken."""

from collections import deque

from alula.model.memory import Weights


class WeightStream:
    """Matrices in the order they were pushed.

    Attributes:
        capacity: Beats that fit.
        used: Beats pushed and not yet taken. More than `capacity`: the last LD.W is still pushing.
        head: The engine that the first beat is for; -1 if there is none.
    """

    __slots__ = ("_entries", "capacity", "head", "used")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.clear()

    def __len__(self) -> int:
        return len(self._entries)

    def clear(self) -> None:
        """Drop everything."""
        self._entries: deque[tuple[int, Weights]] = deque()
        self.used = 0
        self.head = -1

    def push(self, engine: int, matrix: Weights) -> None:
        """Append the beats of a matrix for `engine`."""
        if not self._entries:
            self.head = engine
        self._entries.append((engine, matrix))
        self.used += matrix.beats

    def take(self) -> Weights:
        """Remove and return the first matrix."""
        _, matrix = self._entries.popleft()
        self.used -= matrix.beats
        self.head = self._entries[0][0] if self._entries else -1
        return matrix
