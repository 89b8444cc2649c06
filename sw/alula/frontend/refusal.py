"""What the frontend says when it cannot take a model."""

from collections.abc import Sequence

from alula.ir.refusal import Refusal, refusal_table
from alula.printable import printable


class FrontendError(ValueError):
    """A model that cannot be read. The message is one line that names the place."""


class UnsupportedModel(FrontendError):
    """A well-formed model with parts that are not supported.

    Attributes:
        source: The model.
        refusals: Every reason found, at least one.
        lines: What there is to say, in lines: the model, then the refusals as a table.
    """

    def __init__(self, source: object, refusals: Sequence[Refusal]) -> None:
        if not refusals:
            raise ValueError("refusals must name at least one reason, not none")
        self.source = str(source)
        self.refusals = tuple(refusals)
        table = refusal_table(self.refusals).split("\n")
        self.lines = (f"{printable(self.source)} is not supported:", *table)
        super().__init__("\n".join(self.lines))
