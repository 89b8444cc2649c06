"""What a run did, in numbers that do not depend on time."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Counters:
    """Totals of one run.

    `instructions` is the sum of the six engines' counts. `bytes_read` counts whole beats, as LD
    fetches them; `bytes_written` counts strobed bytes. `macs` counts every multiplication of padded
    row blocks by activation rows.
    """

    instructions: int
    ld: int
    st: int
    mm: int
    mv: int
    misc: int
    sys: int
    bytes_read: int
    bytes_written: int
    macs: int

    def as_dict(self) -> dict[str, int]:
        """Field names to values."""
        return asdict(self)
