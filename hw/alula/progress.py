"""How long work tells how far it is."""

from typing import Protocol


class Progress(Protocol):
    """Called now and then by long work."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Say that `done` of `total` parts of the work called `stage` are complete."""
        ...


def silent(stage: str, done: int, total: int) -> None:
    """Say nothing."""
