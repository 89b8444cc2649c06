"""A sweep as one page of HTML that needs nothing else."""

from collections.abc import Iterable, Sequence
from html import escape

from alula.explore.objectives import OBJECTIVES
from alula.explore.report import figures
from alula.explore.report.tables import causes, shown, summary
from alula.explore.run import Found

_MOST_ROWS = 200
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}svg{max-width:100%;height:auto}
table{border-collapse:collapse;font-size:12.5px}td,th{padding:3px 9px;text-align:left;
border-bottom:1px solid #ddd;white-space:nowrap}.wide{overflow-x:auto}p.note{color:#555}
"""
_WORDS = (
    "Modelled: by the cycle model. Simulated: in RTL, cycle by cycle. Synthesised: by Yosys, not "
    "placed. Estimated: resources and clock from fits to synthesis. Declared: as the design says. "
    "± is the largest error that was found, as a share; ±? is not known."
)


def page(found: Found) -> str:
    """Return the page."""
    sweep = found.space.sweep
    parts = [f"<h1>{escape(sweep.name)}</h1>", *_about(found)]
    if found.best:
        parts += [
            "<h2>Pareto front</h2>",
            figures.pareto(found),
            _table(*summary(found, found.front[:_MOST_ROWS])),
            _note(_WORDS),
            "<h2>All that can be, as lines</h2>",
            figures.parallel(found),
            "<h2>Roofline</h2>",
            figures.roofline(found),
            "<h2>A token's cycles</h2>",
            figures.token_cycles(found),
        ]
    parts += _checks(found)
    parts += _references(found)
    parts += _impossible(found)
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><title>{escape(sweep.name)}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _about(found: Found) -> Iterable[str]:
    sweep = found.space.sweep
    goals = ", ".join(
        f"{OBJECTIVES[name].best} {OBJECTIVES[name].title}" for name in sweep.objectives
    )
    yield f"<p>{found.space.count:,} points; wanted: {escape(goals)}.</p>"
    front = "This is the whole front: " if found.exact else "Not every point was asked about: "
    left_out = f", {found.left_out:,} left out as even their bound is beaten" if found.exact else ""
    yield (
        f"<p>{front}{found.asked:,} points by the cycle model{left_out}, "
        f"{len(found.impossible):,} that cannot be, {len(found.failed):,} that failed.</p>"
    )
    axes = [(name, ", ".join(map(shown, values))) for name, values in sweep.axes.items()]
    yield _table(["axis", "values"], axes)


def _checks(found: Found) -> Iterable[str]:
    rows = [row for row in found.rows.values() if row.checked is not None]
    if not rows:
        return
    yield "<h2>Checked in RTL</h2>"
    cells = [
        (figures.short_name(row), f"{row.checked:+.2%}", str(row.checked_layers), row.how)
        for row in rows
    ]
    yield _table(["point", "modelled over simulated", "layers that ran", "cycles are"], cells)


def _references(found: Found) -> Iterable[str]:
    if not found.space.sweep.references:
        return
    yield "<h2>Published by others</h2>"
    cells = [
        (
            one.name,
            ", ".join(f"{OBJECTIVES[name].title} {value:g}" for name, value in one.values.items()),
            one.about,
        )
        for one in found.space.sweep.references
    ]
    yield _table(["what", "numbers", "source"], cells)


def _impossible(found: Found) -> Iterable[str]:
    if not found.impossible:
        return
    yield "<h2>What cannot be, and why</h2>"
    cells = [
        (what, f"{count:,}", row.reason or "", figures.short_name(row))
        for what, count, row in causes(found.impossible)
    ]
    yield _table(["short of", "points", "the one that misses least", "which is"], cells)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide"><table><tr>{top}</tr>\n{body}</table></div>'


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'
