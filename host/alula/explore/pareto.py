"""The points that no other point beats, and their plot."""

from collections.abc import Sequence
from typing import IO

from alula.explore.row import Row


def front(rows: Sequence[Row]) -> set[int]:
    """Return the numbers of the rows on the Pareto front of time and share of the part.

    A row is on it if no other is at least as good in both and better in one. Rows with a reason
    are left out.
    """
    places = _places(rows)
    found = {number: place for number, place in places.items() if rows[number].reason is None}
    return {
        number
        for number, own in found.items()
        if not any(
            other != own and other[0] <= own[0] and other[1] <= own[1] for other in found.values()
        )
    }


def plot(rows: Sequence[Row], title: str, file: IO[bytes]) -> None:
    """Draw time against share of the part as a PNG, the Pareto front as a line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    best, places = front(rows), _places(rows)
    figure = Figure(figsize=(7, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, (time, share) in places.items():
        row, on_front = rows[number], number in best
        colour = "C0" if on_front else "C7" if row.reason is None else "C3"
        axes.plot(100 * share, time, "o" if on_front else "x", color=colour)
        label = ", ".join(f"{key.split('.')[-1]} {value}" for key, value in row.values.items())
        place = {"textcoords": "offset points", "xytext": (6, 4), "fontsize": 8}
        axes.annotate(label, (100 * share, time), **place)
    line = sorted((100 * share, time) for time, share in map(places.__getitem__, best))
    axes.plot([x for x, _ in line], [y for _, y in line], "-", color="C0", linewidth=1)
    axes.set_xlabel("largest share of the part (%), synthesised")
    axes.set_ylabel("time of the workload (us), simulated")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    figure.savefig(file, dpi=120, format="png")


def _places(rows: Sequence[Row]) -> dict[int, tuple[float, float]]:
    """Return time and share of the rows that have both, by number."""
    return {
        number: (row.microseconds, row.share)
        for number, row in enumerate(rows)
        if row.microseconds is not None and row.share is not None
    }
