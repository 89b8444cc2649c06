"""Which format each weight matrix is stored in."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Self

from alula.ir.bands import Band, bands_of, formats_of
from alula.isa.formats import MATRIX_FORMATS

HEAD = "lm_head"
_LAYER = re.compile(r"layers\.\d+\.")


def in_layer(name: str, layer: int | None) -> str:
    """The name of a unit or a tensor of a layer, `layers.*` standing for it; None: as it is."""
    return name if layer is None else name.replace("layers.*", f"layers.{layer}")


@dataclass(frozen=True)
class Precision:
    """Formats of the layers' matrices and of the head, by title: `W4`, `W3 8:16`.

    The head's error goes into the logits undamped: in 4 bits it alone costs SmolLM2-135M 5% of
    perplexity, in 8 bits 0.1%.

    Attributes:
        layers: of all matrices of layers that are not named.
        head: of the head.
        matrices: of those that are, by unit: `layers.*.mlp.down` of all layers,
            `layers.3.mlp.down` of one, which counts before that. These may have bands of rows in
            several formats: `W4 4:16 x 192 + W4 x 384`.

    Raises:
        ValueError: a format that is none of `MATRIX_FORMATS`, nor bands where they may be.
    """

    layers: str = "W4"
    head: str = "W8"
    matrices: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, title in {"layers": self.layers, "head": self.head}.items():
            if title not in MATRIX_FORMATS:
                known = ", ".join(MATRIX_FORMATS)
                raise ValueError(f"{name} must be one of {known}, not {title}")
        for title in self.matrices.values():
            formats_of(title)

    @classmethod
    def of(cls, formats: Mapping[str, str]) -> Self:
        """The precision of a model by the title of each matrix's format: `layers.0.attn.q: W4`."""
        titles = dict(formats)
        head = titles.pop(HEAD)
        whole = Counter(title for title in titles.values() if title in MATRIX_FORMATS)
        (common, _), *_ = whole.most_common(1) or [(cls.layers, 0)]
        by_unit: dict[str, set[str]] = {}
        for name, title in titles.items():
            by_unit.setdefault(_LAYER.sub("layers.*.", name), set()).add(title)
        alike = {unit: found.pop() for unit, found in by_unit.items() if len(found) == 1}
        matrices = {unit: title for unit, title in alike.items() if title != common}
        for name, title in titles.items():
            if _LAYER.sub("layers.*.", name) not in alike and title != common:
                matrices[name] = title
        return cls(common, head, matrices)

    def runs(self, units: Sequence[str], layers: int) -> Iterator[tuple[int, int]]:
        """First layer and number of each run of layers whose matrices have the same formats.

        `units`: the matrices of a layer, `layers.*.mlp.down`.
        """
        if not any(_LAYER.match(name) for name in self.matrices):
            yield 0, layers
            return
        formats = [[self.title(in_layer(unit, layer)) for unit in units] for layer in range(layers)]
        for _, found in groupby(range(layers), key=formats.__getitem__):
            run = list(found)
            yield run[0], len(run)

    def title(self, matrix: str) -> str:
        """Title of the format of a matrix, by the name of its unit.

        `layers.*` stands where no layer is named.
        """
        if matrix == HEAD:
            return self.head
        unit = _LAYER.sub("layers.*.", matrix)
        return self.matrices.get(matrix) or self.matrices.get(unit, self.layers)

    def bands(self, matrix: str, rows: int) -> tuple[Band, ...]:
        """The bands of a matrix of so many rows. ValueError if they are of another number."""
        return bands_of(self.title(matrix), rows)
