"""A plan as a picture: a row a device, time to scale, for the prompt and for one decoded token."""

from __future__ import annotations

from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alula.folders import new_file
from alula.runtime.split import PHASES, Phase

if TYPE_CHECKING:
    from alula.runtime.planning.plan import Plan

_COLOURS = {"embed": "#7a9e7e", "layers": "#4878a8", "head": "#c17c74"}


def draw(plan: Plan, path: Path) -> None:
    """Write a plan as PNG.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    devices = list(plan.devices.devices)
    figure = Figure(figsize=(10, 1.6 + 1.1 * len(devices)), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, phase in zip(figure.subplots(2, 1), PHASES, strict=True):
        _draw_phase(axes, plan, phase, devices)
    figure.suptitle(f"{plan.model} on {plan.devices.name}: {plan.prompt} + {plan.new} tokens")
    content = BytesIO()
    figure.savefig(content, format="png", dpi=120)
    with new_file(path) as file:
        file.write(content.getvalue())


def _draw_phase(axes: Any, plan: Plan, phase: Phase, devices: list[str]) -> None:
    steps = 1 if phase == "prefill" else plan.new
    placed = plan.in_phase(phase)
    crossings = sum(one.device != other.device for one, other in pairwise(placed))
    gap = 1e3 * plan.price.hidden[phase] / steps / crossings if crossings else 0.0
    now = 0.0
    for one, before in zip(placed, [placed[0], *placed], strict=False):
        if one.device != before.device:
            rows = [devices.index(before.device), devices.index(one.device)]
            axes.plot([now, now + gap], rows, color="black", linewidth=0.8)
            now += gap
        width = 1e3 * one.predicted_s / steps
        axes.barh(
            devices.index(one.device),
            width,
            left=now,
            height=0.6,
            color=_COLOURS[one.unit.partition(".")[0]],
            edgecolor="white",
            linewidth=0.4,
        )
        now += width
    axes.set_yticks(range(len(devices)), devices)
    axes.set_ylim(len(devices) - 0.5, -0.5)
    what = "prefill" if phase == "prefill" else "decode, a token in the mean"
    axes.set_title(f"{what}: {now:.4g} ms predicted", fontsize=9, loc="left")
    axes.set_xlabel("ms: embedding green, layers blue, head red", fontsize=8)
