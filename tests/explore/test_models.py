"""Models of a sweep: what was measured of their weights, and what was not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from alula.design import DesignError
from alula.design.shipped import shipped_recipes
from alula.explore import Sweep
from alula.explore.models import Quality, _formats, model_of, models_of, shipped_ratios
from alula.explore.sweep_file import Perplexity

MODEL = "smollm2-135m"
GIVEN = Perplexity(model="small", recipe="w3", value=12.5, ratio=1.25, about="measured")


def test_ratios_that_come_with_alula_are_of_the_model_that_they_were_measured_with() -> None:
    ratio = shipped_ratios()[MODEL, "w2-trained"]
    assert 1 < ratio < 2
    assert model_of(MODEL, "w2-trained").quality == Quality(ratio=ratio)
    assert model_of("small", "w2-trained").quality == Quality()
    assert model_of(MODEL).quality == Quality()


def test_a_recipe_of_the_users_has_no_ratio_of_a_shipped_one_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w2-trained").write_bytes(shipped_recipes()["w4"].read_bytes())
    _formats.cache_clear()
    found = model_of(MODEL, "w2-trained")
    assert found.formats == model_of(MODEL, "w4").formats
    assert found.quality == Quality()
    _formats.cache_clear()


def test_what_a_sweep_gives_comes_first(small_sweep: Callable[..., Sweep]) -> None:
    sweep = small_sweep(recipe="w3", perplexities=[GIVEN.model_dump()])
    assert models_of(sweep)["small", "w3"].quality == Quality(12.5, 1.25)
    assert model_of(MODEL, "w2-trained", Quality(ratio=3.0)).quality == Quality(ratio=3.0)


@pytest.mark.parametrize(
    ("objective", "field"), [("perplexity", "perplexity"), ("perplexity_ratio", "ratio")]
)
def test_an_objective_that_was_not_measured_of_all_is_refused(
    small_sweep: Callable[..., Sweep], objective: str, field: str
) -> None:
    known = {"recipe": "w3", "perplexities": [GIVEN.model_dump()]}
    assert models_of(small_sweep(objectives=[objective], **known))
    words = (
        rf"^must be measured of every model and recipe \(perplexities, {field}\), "
        rf"not unknown of small with w4 \(small: objectives, {objective}\)$"
    )
    with pytest.raises(DesignError, match=words):
        models_of(small_sweep(objectives=[objective], **(known | {"recipe": "w4"})))
