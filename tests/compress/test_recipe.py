"""Recipes: what they say of each matrix, and what they are refused for."""

import json
from pathlib import Path
from typing import Any

import pytest

from alula.compress.distillation import Distillation
from alula.compress.recipe import MatrixChoice, Mix, Recipe, Recovery, load_recipe, precision_of
from alula.design import DesignError, load_design
from alula.design.shipped import shipped_recipes
from alula.frontend.compressed import matrix_shapes
from alula.ir import Precision
from alula.ir.shapes import SHAPES
from alula.mapper import traffic

RECIPES = Path(__file__).parents[2] / "designs" / "recipes"
MATRICES = [
    *(f"layers.{i}.{name}" for i in range(2) for name in ("attn.q", "attn.o", "mlp.up")),
    "lm_head",
]


def recipe(*rules: dict[str, Any], **more: Any) -> Recipe:
    return Recipe.from_mapping({"name": "x", "rules": list(rules), **more}, "x.yaml")


def test_later_rules_count_first() -> None:
    found = recipe(
        {"units": "layers", "bits": 3},
        {"units": "attention", "bits": 4, "pattern": "8:16", "method": "wanda"},
        {"units": r"layers\.0\..*\.o", "bits": 2, "method": "compensate"},
    ).choices(MATRICES, "x.yaml")
    assert found == {
        "layers.0.attn.q": MatrixChoice("W4 8:16", "wanda"),
        "layers.0.attn.o": MatrixChoice("W2", "compensate"),
        "layers.0.mlp.up": MatrixChoice("W3", "descent"),
        "layers.1.attn.q": MatrixChoice("W4 8:16", "wanda"),
        "layers.1.attn.o": MatrixChoice("W4 8:16", "wanda"),
        "layers.1.mlp.up": MatrixChoice("W3", "descent"),
        "lm_head": MatrixChoice("W8", "nearest"),
    }
    assert precision_of(found).title("layers.0.attn.o") == "W2"


def test_what_no_rule_names_is_as_by_default() -> None:
    found = recipe({"units": "mlp.up", "bits": 2}).choices(MATRICES, "x.yaml")
    assert found["layers.1.attn.q"] == MatrixChoice(Precision().layers, "nearest")


REFUSED = {
    "a rule for nothing": (
        [{"units": "mlp.gate", "bits": 3}],
        r"must be all, layers, .* for some of layers.0.attn.q to lm_head, not 'mlp.gate' \(x.yaml",
    ),
    "a slip of the pen": (
        [{"units": "mpl", "bits": 3}],
        r"not 'mpl'; did you mean mlp\? \(x.yaml: rules.0.units\)",
    ),
    "a slip in a whole name": (
        [{"units": "layers.1.atn.q", "bits": 3}],
        r"not 'layers.1.atn.q'; did you mean layers.1.attn.q\? \(x.yaml: rules.0.units\)",
    ),
    "a rule that later ones take everything of": (
        [{"units": "mlp", "bits": 3}, {"units": "layers", "bits": 4}],
        r"must be units that no later rule takes all of, not 'mlp' \(x.yaml: rules.0.units\)",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_rules_without_effect_are_refused(kind: str) -> None:
    rules, message = REFUSED[kind]
    with pytest.raises(DesignError, match=message):
        recipe(*rules).choices(MATRICES, "x.yaml")


MIX = {"formats": ["W4 4:16", "W4 8:16", "W4"], "keep": 0.5}
INVALID = {
    "bits": ({"units": "mlp", "bits": 5}, r"must be 2, 3, 4 or 8, not 5 \(x.yaml: rules.0.bits\)"),
    "pattern": (
        {"units": "mlp", "bits": 4, "pattern": "1:4"},
        r"must be dense, 2:4, 2:16, 4:16 or 8:16, not '1:4' \(x.yaml: rules.0.pattern\)",
    ),
    "expression": (
        {"units": "(", "bits": 4},
        r"or a regular expression \(missing \).*\), not '\(' \(x.yaml: rules.0.units\)",
    ),
    "wanda without a pattern": (
        {"units": "mlp", "bits": 4, "method": "wanda"},
        r"must be nearest, compensate or descent without a pattern, not wanda \(x.yaml: rules.0",
    ),
    "nearest with one": (
        {"units": "mlp", "bits": 4, "pattern": "2:4", "method": "nearest"},
        r"must be magnitude, wanda, compensate or descent with a pattern, not nearest",
    ),
    "neither bits nor a mix": (
        {"units": "mlp"},
        r"must be bits or a mix, not neither \(x.yaml: rul",
    ),
    "both": (
        {"units": "mlp", "bits": 4, "mix": MIX},
        r"must be bits or a mix, not both \(x.yaml: r",
    ),
    "a pattern beside a mix": (
        {"units": "mlp", "pattern": "2:4", "mix": MIX},
        r"must be dense where a mix has patterns, not 2:4 \(x.yaml: rules.0.pattern\)",
    ),
    "a format of a mix": (
        {"units": "mlp", "mix": MIX | {"formats": ["W4", "W5"]}},
        r"must be W4, .* or W2 8:16, not 'W5' \(x.yaml: rules.0.mix.formats.1\)",
    ),
    "one format twice": (
        {"units": "mlp", "mix": MIX | {"formats": ["W4", "W4"]}},
        r"must be different formats, not W4 or W4 \(x.yaml: rules.0.mix.formats\)",
    ),
    "one format": (
        {"units": "mlp", "mix": MIX | {"formats": ["W4"]}},
        r"\(x.yaml: rules.0.mix.form",
    ),
    "no limit": (
        {"units": "mlp", "mix": {"formats": ["W4", "W4 2:4"]}},
        r"must be keep or stored_bits, not neither \(x.yaml: rules.0.mix\)",
    ),
    "two limits": (
        {"units": "mlp", "mix": MIX | {"stored_bits": 3.0}},
        r"must be keep or stored_bits, not both \(x.yaml: rules.0.mix\)",
    ),
    "less than is kept": (
        {"units": "mlp", "mix": MIX | {"keep": 0.2}},
        r"must be at least 0.25, what the sparsest of the formats keeps, not 0.2 \(x.yaml: rules.0",
    ),
    "nearest with a mix of patterns": (
        {"units": "mlp", "mix": MIX, "method": "nearest"},
        r"must be magnitude, wanda, compensate or descent with a pattern, not nearest",
    ),
    "unknown key": ({"units": "mlp", "bits": 4, "bit": 3}, r"must be one of the keys units, bits"),
}


def test_training_is_as_the_recipe_says() -> None:
    wanted = Recovery(steps=9, batch=2, rate=0.5, select=3, task_loss=0.25)
    assert wanted.settings(seed=4) == Distillation(9, 2, 0.5, 3, seed=4, task_loss=0.25)
    assert Recovery(steps=9).settings(seed=0) == Distillation(9)


@pytest.mark.parametrize("weight", [-0.1, 1.5, "half"])
def test_a_weight_of_the_task_is_a_share(weight: object) -> None:
    words = {"name": "x", "rules": [{"units": "all", "bits": 4}]}
    with pytest.raises(DesignError, match=r"\(x.yaml: recover.task_loss\)"):
        Recipe.from_mapping(words | {"recover": {"steps": 1, "task_loss": weight}}, "x.yaml")


@pytest.mark.parametrize("kind", INVALID)
def test_invalid_rules_are_refused(kind: str) -> None:
    rule, message = INVALID[kind]
    with pytest.raises(DesignError, match=message):
        recipe(rule)


def test_a_pattern_needs_a_design_that_can_run_it() -> None:
    sparse = recipe({"units": "mlp", "bits": 3}, {"units": "attn.q", "bits": 4, "pattern": "2:4"})
    sparse.check_design(load_design("nano-sparse"), "x.yaml")
    with pytest.raises(DesignError) as caught:
        sparse.check_design(load_design("nano"), "x.yaml")
    assert str(caught.value) == (
        "must be dense on nano, a design without mpe.sparse, not 2:4 (x.yaml: rules.1.pattern)"
    )


def test_a_mix_needs_a_design_that_can_run_it() -> None:
    """kv260-sparse takes 32 rows of 4:16 together, nano-sparse 8, and 4 results are a word."""
    found = recipe({"units": "mlp", "bits": 3}, {"units": "attn.q", "mix": MIX | {"rows": 48}})
    found.check_design(load_design("nano-sparse"), "x.yaml")
    for name, message in {
        "nano": "must be dense on nano, a design without mpe.sparse, not W4 4:16 "
        "(x.yaml: rules.1.mix.formats.0)",
        "kv260-sparse": "must be a multiple of 32, row blocks of W4 4:16 on kv260-sparse, not 48 "
        "(x.yaml: rules.1.mix.rows)",
    }.items():
        with pytest.raises(DesignError) as caught:
            found.check_design(load_design(name), "x.yaml")
        assert str(caught.value) == message


def test_the_head_has_no_mix() -> None:
    found = recipe({"units": "all", "mix": MIX})
    with pytest.raises(DesignError) as caught:
        found.choices(MATRICES, "x.yaml")
    assert str(caught.value) == (
        "must be units without lm_head, which has one format, not 'all' (x.yaml: rules.0.units)"
    )
    head = {"units": "lm_head", "bits": 8, "method": "nearest"}
    choices = recipe({"units": "all", "mix": MIX}, head).choices(MATRICES, "x.yaml")
    assert choices["layers.0.attn.q"] == MatrixChoice("W4 4:16", "descent", Mix(**MIX))
    assert choices["lm_head"] == MatrixChoice("W8", "nearest")


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_shipped_recipes_apply_to_every_layer(name: str) -> None:
    found, path = load_recipe(name)
    assert found.name == name == path.stem
    assert path.read_text().startswith("# yaml-language-server: $schema=recipe.schema.json\n")
    shape = SHAPES["smollm2-135m"]
    names = [matrix for unit in shape.units for matrix in matrix_shapes(shape, unit)]
    assert found.choices(names, name).keys() == set(names)


def test_the_default_reads_less_than_a_model_without_a_recipe() -> None:
    shape = SHAPES["smollm2-135m"]
    names = [matrix for unit in shape.units for matrix in matrix_shapes(shape, unit)]
    found, _ = load_recipe("default")
    sizes = [
        traffic(shape, precision).read(position=0, tokens=1)
        for precision in (precision_of(found.choices(names, "x.yaml")), Precision())
    ]
    assert sizes == [88_527_236, 88_582_532]
    assert not found.needs_text


def test_the_schema_is_as_generated() -> None:
    text = (RECIPES / "recipe.schema.json").read_text()
    assert text == Recipe.schema_text()
    assert json.loads(text)["properties"]["rules"]["items"] == {"$ref": "#/$defs/Rule"}
