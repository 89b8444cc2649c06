"""What recipes cost, as a table for the docs and as a picture.

    python -m benchmarks.compression_page

writes the picture. Tokens a second are modelled: cycles by the cycle model, on the clock that is
estimated for the design.
"""

import json
from typing import Any

import matplotlib.pyplot as plt

from alula.compress.recipe import load_recipe, precision_of
from alula.cost import predict
from alula.cost.resources import estimate
from alula.design import Design, load_design
from alula.frontend.compressed import matrix_shapes
from alula.ir import Architecture
from alula.ir.shapes import SHAPES
from benchmarks.compression import rows
from benchmarks.report import MODEL, ROOT

PICTURE = ROOT / "docs" / "pictures" / "compression.svg"
DESIGNS = ("kv260", "kv260-sparse")
"""The second for recipes that the first cannot run."""
_POSITION = 127


def table_text() -> str:
    """Return the rows as Markdown."""
    found = rows()
    texts = list(found[0]["ratio"])
    head = ["", "bits", "MB a token", "tested", *texts, *(f"{text}, trained" for text in texts)]
    lines = [f"| {' | '.join(head)} | tokens | minutes |", "|---|" + "--:|" * (len(head) + 1)]
    for row in sorted(found, key=lambda row: -row["bytes_per_token"]):
        cells = [f"{row['average_bits']:.2f}", f"{row['bytes_per_token'] / 1e6:.1f}"]
        cells += [f"{row['test_tokens']:,}"]
        cells += [f"{row['ratio'][text]:.3f}" for text in texts]
        trained = row.get("trained_ratio")
        cells += [f"{trained[text]:.3f}" if trained else "" for text in texts]
        cells += (
            [f"{row['training_tokens'] / 1e6:.1f} M", f"{row['training_seconds'] / 60:.1f}"]
            if trained
            else ["", ""]
        )
        lines.append(f"| {_title(row)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def ratios_text() -> str:
    """Return the perplexity ratio of each recipe on each text, after training where it trains."""
    found = {
        row["recipe"]: row.get("trained_ratio", row["ratio"]) for row in rows() if "recipe" in row
    }
    return json.dumps({MODEL: found}, indent=1, sort_keys=True) + "\n"


def _title(row: dict[str, Any]) -> str:
    return f"`{row['recipe']}`" if "recipe" in row else f"{row['type']} of llama.cpp"


def draw() -> None:
    """Write the picture: perplexity over bytes of a token, and over tokens a second."""
    found = rows()
    text = next(iter(found[0]["ratio"]))
    plt.rcParams["svg.hashsalt"] = PICTURE.stem
    figure, (by_bytes, by_speed) = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True)
    for row in found:
        size, ratio = row["bytes_per_token"] / 1e6, row["ratio"][text]
        if "type" in row:
            by_bytes.plot(size, ratio, "kx")
            _name(by_bytes, row["type"], size, ratio)
            continue
        speed = tokens_per_s(row["recipe"])
        for axes, place in ((by_bytes, size), (by_speed, speed)):
            axes.plot(place, ratio, "o", mfc="none", color="C0")
            last = ratio
            if "trained_ratio" in row:
                last = row["trained_ratio"][text]
                axes.plot([place, place], [ratio, last], ":", color="C0", lw=0.8)
                axes.plot(place, last, "o", color="C0")
            _name(axes, row["recipe"].removesuffix("-trained"), place, last)
    by_bytes.set(xlabel="MB read for a token", ylabel=f"perplexity ratio, {text}")
    by_speed.set(xlabel="tokens a second, modelled cycles at the estimated clock")
    by_bytes.plot([], [], "o", mfc="none", color="C0", label="integers chosen on a text")
    by_bytes.plot([], [], "o", color="C0", label="then trained")
    by_bytes.plot([], [], "kx", label="llama.cpp's types")
    by_bytes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(PICTURE, metadata={"Date": None})


def _name(axes: Any, name: str, across: float, up: float) -> None:
    axes.annotate(name, (across, up), (4, 3), textcoords="offset points", fontsize=7)


def tokens_per_s(recipe: str) -> float:
    """Modelled tokens a second of the model compressed by a recipe."""
    shape = SHAPES[MODEL]
    found, path = load_recipe(recipe)
    names = [name for unit in shape.units for name in matrix_shapes(shape, unit)]
    choices = found.choices(names, str(path))
    sparse = any(" " in choice.format for choice in choices.values())
    design = load_design(DESIGNS[sparse])
    cycles = _cycles(design, shape, choices)
    return 1e6 * min(design.clock_mhz, estimate(design).mhz) / cycles


def _cycles(design: Design, shape: Architecture, choices: Any) -> float:
    return predict(
        design, shape, "decode", position=_POSITION, precision=precision_of(choices)
    ).cycles


if __name__ == "__main__":
    draw()
