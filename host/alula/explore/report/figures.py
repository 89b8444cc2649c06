"""Figures of a sweep as SVG text."""

import re
from collections.abc import Callable, Sequence
from io import StringIO
from itertools import combinations
from typing import Any

import numpy as np

from alula.explore.objectives import OBJECTIVES
from alula.explore.report.tables import shown
from alula.explore.row import Row
from alula.explore.run import Found
from alula.explore.space import Question

_FRONT, _REST, _OTHERS = "#1f6fb2", "#b8bfc6", "#c1503f"
_WAITS = {"compute": "#4878a8", "memory": "#c17c74", "issue": "#7a9e7e", "dependency": "#a79ac0"}
_MOST_LINES = 400
"""Points of parallel coordinates that are not on the front."""
_MOST_DESIGNS = 5


def pareto(found: Found) -> str:
    """Draw each pair of objectives: the points that can be, the front, what others published."""
    names = list(found.space.sweep.objectives)
    pairs = list(combinations(names, 2)) or [(names[0], "lut")]
    columns = min(3, len(pairs))
    lines = -(-len(pairs) // columns)

    def draw(figure: Any) -> None:
        all_axes = np.atleast_1d(figure.subplots(lines, columns, squeeze=False)).ravel()
        for axes in all_axes[len(pairs) :]:
            axes.set_visible(False)
        for axes, (across, up) in zip(all_axes, pairs, strict=False):
            _scatter(axes, found, across, up)

    return _drawn(draw, 4.6 * columns, 3.6 * lines)


def parallel(found: Found) -> str:
    """Draw each point as a line over axes and objectives, the front in colour."""
    names = [*found.space.names, *found.space.sweep.objectives]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        rows = {number: row for number, row in found.rows.items() if row.found}
        others = [number for number in rows if number not in found.front_numbers]
        step = -(-len(others) // _MOST_LINES) or 1
        scales = [_Scale(found, name) for name in names]
        for number in [*others[::step], *found.best]:
            on_front = number in found.front_numbers
            heights = [scale.height(rows[number]) for scale in scales]
            style = {"color": _FRONT, "alpha": 0.8} if on_front else {"color": _REST, "alpha": 0.35}
            axes.plot(range(len(names)), heights, linewidth=0.9 if on_front else 0.5, **style)
        for place, scale in enumerate(scales):
            axes.axvline(place, color="#44494e", linewidth=0.7)
            for height, text in scale.marks:
                axes.text(place + 0.03, height, text, fontsize=7, va="center")
        axes.set_xticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=8)
        axes.set_yticks([])
        axes.set_ylim(-0.06, 1.06)

    return _drawn(draw, max(7.0, 1.35 * len(names)), 4.2)


def roofline(found: Found) -> str:
    """Draw the best designs' roofs, their runs below, and where bandwidth stops feeding MACs."""
    chosen = best_of_each(found)

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        across = np.geomspace(0.25, 4096, 200)
        for place, (label, row) in enumerate(zip(names_of(chosen), chosen, strict=True)):
            question = found.space.question(row.values)
            assert row.mhz
            rate = row.mhz * 1e6
            peak = question.design.macs_per_cycle * rate
            width = question.design.bytes_per_cycle * rate
            colour = f"C{place}"
            axes.plot(across, np.minimum(across * width, peak) / 1e9, color=colour, label=label)
            axes.axvline(peak / width, color=colour, linewidth=0.7, linestyle=":")
            axes.text(peak / width, 0.55 * peak / 1e9, " MACs are fed", fontsize=6, rotation=90)
            for mark, macs, moved, seconds in _runs(row, question):
                axes.plot(macs / moved, macs / seconds / 1e9, mark, color=colour, markersize=6)
        axes.set(xscale="log", yscale="log", xlabel="MACs a byte of memory", ylabel="10⁹ MACs/s")
        axes.legend(fontsize=7)
        axes.set_title(
            "○ a decoded token, △ a prompt; dotted: bandwidth feeds all MACs", fontsize=8
        )
        axes.grid(alpha=0.3)

    return _drawn(draw, 7.5, 4.6)


def token_cycles(found: Found) -> str:
    """Draw the best designs' token: what its cycles wait for, and how long each engine works."""
    chosen = [row for row in best_of_each(found) if row.accounts]

    def draw(figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        labels = names_of(chosen)
        for place, row in enumerate(chosen):
            start = 0.0
            for name, cycles in row.accounts.items():
                label = name if place == 0 else None
                left.barh(place, cycles / 1e6, left=start, color=_WAITS[name], label=label)
                start += cycles / 1e6
            engines = list(row.engines.items())
            height = 0.8 / max(1, len(engines))
            for number, (name, cycles) in enumerate(engines):
                at = place + (number - len(engines) / 2 + 0.5) * height
                right.barh(at, cycles / 1e6, height=0.9 * height, color=f"C{number}")
                right.text(cycles / 1e6, at, f" {name}", fontsize=6, va="center")
        left.set_yticks(range(len(chosen)), labels, fontsize=6)
        right.set_yticks(range(len(chosen)), [""] * len(chosen))
        left.set_xlabel("10⁶ cycles of a token by what it waits for")
        right.set_xlabel("10⁶ cycles in which engines work; they overlap")
        left.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(_WAITS))

    return _drawn(draw, 10.5, 1.6 + 0.8 * len(chosen))


def best_of_each(found: Found) -> list[Row]:
    """Return the rows that are best in an objective each, and that in the front's middle."""
    names = found.space.sweep.objectives
    front = found.front
    best = [
        min(front, key=lambda row, name=name: OBJECTIVES[name].sign * (getattr(row, name) or 0))
        for name in names
    ]
    middle = front[len(front) // 2 : len(front) // 2 + 1]
    chosen: list[Row] = []
    for row in [*best, *middle]:
        if row not in chosen:
            chosen.append(row)
    return chosen[:_MOST_DESIGNS]


def short_name(row: Row, axes: Sequence[str] | None = None) -> str:
    """Return some of a point's axes as a few words; all of them if None are named."""
    named = row.values if axes is None else {name: row.values[name] for name in axes}
    text = ", ".join(f"{name.split('.')[-1]} {shown(value)}" for name, value in named.items())
    return text if len(text) <= 90 else f"{text[:87]}..."


def names_of(rows: Sequence[Row]) -> list[str]:
    """Return a name for each row: the axes in which some of them differ."""
    axes = [name for name in rows[0].values if len({str(row.values[name]) for row in rows}) > 1]
    return [short_name(row, axes) for row in rows]


def macs(question: Question, position: int, tokens: int) -> float:
    """Return the multiplications of a run with a head of one row, weights as if dense."""
    shape = question.model.shape
    each = shape.layers * sum(rows * columns for rows, columns in shape.projections.values())
    pairs = tokens * position + tokens * (tokens + 1) / 2
    attention = 2 * shape.layers * shape.query_size * pairs
    return tokens * each + attention + shape.vocab_size * shape.hidden_size


class _Scale:
    """A line of parallel coordinates: from a row's value to a height of 0 to 1."""

    def __init__(self, found: Found, name: str) -> None:
        self._name = name
        self._values = found.space.sweep.axes.get(name)
        if self._values is not None:
            last = max(1, len(self._values) - 1)
            step = -(-len(self._values) // 8)
            marks = list(enumerate(self._values))[::step]
            self.marks = [(place / last, shown(value)) for place, value in marks]
            return
        known = [getattr(row, name) for row in found.rows.values() if row.found]
        known = [value for value in known if value is not None] or [0.0]
        self._low, self._high = min(known), max(known)
        self.marks = [(0.0, f"{self._low:,.4g}"), (1.0, f"{self._high:,.4g}")]

    def height(self, row: Row) -> float:
        if self._values is not None:
            return self._values.index(row.values[self._name]) / max(1, len(self._values) - 1)
        value = getattr(row, self._name)
        if value is None:
            return float("nan")
        return (value - self._low) / (self._high - self._low or 1.0)


def _runs(row: Row, question: Question) -> list[tuple[str, float, float, float]]:
    """Mark, MACs, bytes and seconds of a decoded token and of a prompt."""
    assert row.tokens_per_s
    assert row.bytes
    runs = [("o", macs(question, question.context - 1, 1), row.bytes, 1 / row.tokens_per_s)]
    if row.prefill_bytes and row.ttft_s:
        prompt = macs(question, 0, question.prompt)
        runs.append(("^", prompt, row.prefill_bytes, row.ttft_s))
    return runs


def _scatter(axes: Any, found: Found, across: str, up: str) -> None:
    rows = [row for row in found.rows.values() if row.found]
    for some, colour, size in ((rows, _REST, 6), (found.front, _FRONT, 16)):
        points = [(getattr(row, across), getattr(row, up)) for row in some]
        points = [point for point in points if None not in point]
        if points:
            axes.scatter(*zip(*points, strict=True), s=size, color=colour, linewidths=0)
    for one in found.space.sweep.references:
        if across in one.values and up in one.values:
            axes.plot(one.values[across], one.values[up], "*", color=_OTHERS, markersize=11)
            place = {"textcoords": "offset points", "xytext": (6, 4), "fontsize": 7}
            axes.annotate(one.name, (one.values[across], one.values[up]), color=_OTHERS, **place)
    for name, label in ((across, axes.set_xlabel), (up, axes.set_ylabel)):
        one = OBJECTIVES[name]
        label(f"{one.title}{f' ({one.unit})' if one.unit else ''}", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)


def _drawn(draw: Callable[[Any], None], width: float, height: float) -> str:
    """The figure that `draw` fills, as an SVG element without what only a file needs."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "alula"}):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        text = StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return re.sub(r"^.*?(?=<svg)", "", text.getvalue(), count=1, flags=re.DOTALL)
