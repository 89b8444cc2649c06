"""Times of an accelerator from its design, by the cycle model of `alula.cost`."""

from dataclasses import replace

from alula.cost import Cost, predict
from alula.design import load_design
from alula.runtime.planning.errors import PlanError
from alula.runtime.planning.estimates import Estimate, Request
from alula.runtime.planning.work import UnitWork
from alula.runtime.split import Phase


class CycleEstimator:
    """An estimator that times the programs which would run, at the clock of the design.

    A layer is what a second one adds to a run of one, the head what it adds. What a run takes
    besides is the embedding's: its start, and in prefill the halves of layers that do not overlap.
    """

    def __init__(self, request: Request) -> None:
        record, architecture = request.record, request.model.architecture
        if record.design is None or architecture is None:
            raise PlanError(
                f"the model must be one that Alula compiles, not {request.model.name}"
                f" ({request.name})"
            )
        self._design = load_design(record.design)
        # A model of one layer has no second one to tell from the rest.
        self._shape = replace(architecture, layers=max(2, architecture.layers))
        self._context = request.context

    def estimate(self, unit: UnitWork, phase: Phase, tokens: int, held: float) -> Estimate:
        """Return the time of one step; see `Estimator.estimate`."""
        one = self._cost(phase, tokens, held)
        if unit.kind == "head":
            return _difference(self._cost(phase, tokens, held, head=True), one)
        layer = _difference(self._cost(phase, tokens, held, layers=2), one)
        if unit.kind == "layer":
            return layer
        first = self._cost(phase, tokens, held, embed=True)
        rest = max(0.0, first.seconds - layer.seconds)
        return Estimate(rest, "dependency", "modelled", _note(one))

    def _cost(
        self,
        phase: Phase,
        tokens: int,
        held: float,
        *,
        layers: int = 1,
        embed: bool = False,
        head: bool = False,
    ) -> Cost:
        return predict(
            self._design,
            self._shape,
            phase,
            tokens,
            round(held),
            context=self._context,
            layers=layers,
            embed=embed,
            head=head,
        )


def _difference(more: Cost, less: Cost) -> Estimate:
    """Return what one run takes more than another, and mostly waits for."""
    waits = {name: cycles - less.accounts[name] for name, cycles in more.accounts.items()}
    bound = max(waits, key=lambda name: waits[name])
    return Estimate(more.seconds - less.seconds, bound, "modelled", _note(more))


def _note(cost: Cost) -> str:
    return f"cycles are off RTL's by up to {cost.error:.0%}, at the clock that the design declares"
