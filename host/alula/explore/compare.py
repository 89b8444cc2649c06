"""Two designs side by side, with a model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from alula.design import Design, load_design
from alula.explore.evaluation import answer
from alula.explore.models import model_of
from alula.explore.objectives import OBJECTIVES
from alula.explore.row import Row
from alula.explore.space import Question
from alula.progress import Progress, silent


@dataclass(frozen=True)
class SweepComparison:
    """Two designs, what they differ in and what they bring.

    Attributes:
        designs: the two.
        rows: what the models say of each.
        fields: by dotted key what differs, with the value of each.
    """

    designs: tuple[Design, Design]
    rows: tuple[Row, Row]
    fields: Mapping[str, tuple[Any, Any]]

    @property
    def ratios(self) -> dict[str, float]:
        """The second design's numbers over the first's, of objectives that both have."""
        pairs = {name: tuple(getattr(row, name) for row in self.rows) for name in OBJECTIVES}
        return {
            name: other / one for name, (one, other) in pairs.items() if one and other is not None
        }

    def better(self, name: str) -> int | None:
        """Which design is better in an objective, 0 or 1; None: they are equal, or unknown."""
        ratio = self.ratios.get(name, 1.0)
        return None if ratio == 1 else int((ratio < 1) == (OBJECTIVES[name].best == "least"))


def compare(
    one: str | Design,
    other: str | Design,
    model: str,
    *,
    recipe: str | None = None,
    context: int = 512,
    prompt: int = 128,
    progress: Progress = silent,
) -> SweepComparison:
    """Return two designs side by side.

    Args:
        one: a design, its file, or the name of one that ships.
        other: the design that is set beside it.
        model: a known shape, or a model as for `alula.runtime.load`.
        recipe: of compression, for the weights' formats.
        context: tokens of the sequence whose last one is decoded.
        prompt: tokens of the prompt.
        progress: told of what is fetched and read.

    Raises:
        DesignError: there is no such design or recipe.
        RunError, FrontendError: the model cannot be found or read.
        OSError: the cache cannot be written.
    """
    designs = tuple(
        design if isinstance(design, Design) else load_design(design) for design in (one, other)
    )
    found = model_of(model, recipe, progress=progress)
    rows = []
    for design in designs:
        rows.append(Row({"design": design.name}))
        answer(Question(design, found, context, prompt), rows[-1])
    flat = [dict(_flat(design.model_dump(mode="json"))) for design in designs]
    names = [name for name in flat[0] | flat[1] if flat[0].get(name) != flat[1].get(name)]
    fields = {name: (flat[0].get(name), flat[1].get(name)) for name in names}
    return SweepComparison((designs[0], designs[1]), (rows[0], rows[1]), fields)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
