"""What the planner says of a plan that cannot be."""

from collections.abc import Sequence

from alula.runtime.errors import RunError


class PlanError(RunError):
    """A plan that cannot be made, read or kept. The message is one line, a table may follow.

    Attributes:
        lines: the message, then the lines of the table.
    """

    def __init__(self, message: str, table: Sequence[str] = ()) -> None:
        self.lines = (message, *table)
        super().__init__(message)
