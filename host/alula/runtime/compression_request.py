"""What is asked of a compression."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alula.compress.recipe import Recipe
from alula.design import Design


@dataclass(frozen=True, kw_only=True)
class CompressionRequest:
    """What is to be compressed, and how.

    Attributes:
        model: the dense model, as `load` takes it.
        design: what it is to run on.
        recipe: how.
        recipe_path: where the recipe lies.
        texts: to calibrate on; none: those of the recipe.
        test: the text to test on; None: windows of the calibration's texts that it does not read.
        test_tokens: of that text.
        out: the folder to make.
        torch_device: where the float models run.
    """

    model: str
    design: Design
    recipe: Recipe
    recipe_path: Path
    texts: Sequence[Path]
    test: Path | None
    test_tokens: int
    out: Path
    torch_device: str = "cpu"

    @property
    def work(self) -> Path:
        """The folder that keeps what is done until all is."""
        return self.out.with_name(f"{self.out.name}.work")
