"""Formats for a recipe's budget: what each costs is measured and modelled, then solved exactly."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import exp, log
from operator import itemgetter
from typing import TYPE_CHECKING

from alula.codegen.plan import attempt
from alula.compress.budget import Option, Unreachable, choose
from alula.compress.recipe import FormatBudget, MatrixChoice, Recipe, precision_of
from alula.compress.sensitivity import Sensitivities, measure
from alula.cost import predict
from alula.design import GROUP, Design
from alula.frontend import Checkpoint
from alula.ir import Precision
from alula.ir.precision import HEAD
from alula.mapper import DoesNotFit, FitReport, traffic
from alula.progress import Progress
from alula.runtime.compression_texts import Texts, first_tokens
from alula.runtime.errors import RunError
from alula.runtime.measurements import Measurements

if TYPE_CHECKING:
    import torch

_KIND = "sensitivities"
_REST = "all but matrices"
_ROUNDS = 32
_MOST_MEASURED = 6
"""Choices that are measured whole until one keeps the ratio."""
_AIM = 0.95
"""Of the loss that should keep the ratio as far as was measured, what is tried next."""
_FIELDS = {"bytes": "bytes_per_token", "cycles": "decode_cycles", "loss": "perplexity_ratio"}


class BudgetChooser:
    """Chooses formats for what no rule of a recipe names.

    Args:
        checkpoint: the dense model.
        design: what it is to run on.
        recipe: one with a budget.
        place: names the recipe in an error's text.
        device: where the model runs to be measured.
        progress: told of each matrix that is measured.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        design: Design,
        recipe: Recipe,
        place: str,
        device: "torch.device",
        progress: Progress,
    ) -> None:
        assert recipe.budget is not None
        self._checkpoint, self._shape = checkpoint, checkpoint.architecture
        self._design, self._recipe, self._place = design, recipe, place
        self._budget: FormatBudget = recipe.budget
        self._device, self._progress = device, progress

    def choices(
        self,
        named: Mapping[str, MatrixChoice],
        texts: Texts,
        ratio: Callable[[Mapping[str, MatrixChoice], float], float],
    ) -> tuple[dict[str, MatrixChoice], float | None]:
        """Choose.

        What single matrices lose adds up to an estimate of what all lose; where a ratio is asked
        for, the whole is measured, and chosen anew for less until that keeps it.

        Args:
            named: what applies to each matrix by rules, or where there are none.
            texts: to choose integers on, and to measure on.
            ratio: measures that of perplexities by choices; it is told the most that is allowed.

        Returns:
            The choices, and their ratio as measured where the budget asks for one.

        Raises:
            RunError: nothing keeps within the budget; the message says what is nearest.
            DoesNotFit: the design cannot run the model.
        """
        titles = self._titles(named)
        losses = self._measured(self._open(titles), texts)
        options, limits = self._options(titles, losses), self._budget.limits
        most, tried = self._budget.perplexity_ratio, []
        for _ in range(_MOST_MEASURED):
            try:
                formats = self._solved(options, limits)
            except Unreachable as error:
                if not tried:
                    raise RunError(self._nearest(error.nearest)) from None
                break
            found = self._chosen(named, formats)
            if most is None:
                return found, None
            reached = ratio(found, most)
            if reached <= most:
                return found, reached
            tried.append((reached, found))
            estimate = sum(losses[name][title] for name, title in formats.items())
            limits = limits | {"loss": _AIM * estimate * log(most) / log(reached)}
        reached, found = min(tried, key=itemgetter(0))
        raise RunError(self._nearest(self._sums(found) | {"loss": log(reached)}, "measured"))

    def _titles(self, named: Mapping[str, MatrixChoice]) -> dict[str, Sequence[str]]:
        """The formats that each matrix may have."""
        fixed = self._recipe.named(named)
        return {
            name: [choice.format] if name in fixed else self._budget.formats
            for name, choice in named.items()
        }

    def _chosen(
        self, named: Mapping[str, MatrixChoice], formats: Mapping[str, str]
    ) -> dict[str, MatrixChoice]:
        """What applies to each matrix with the formats that were chosen for the others."""
        fixed = self._recipe.named(named)
        return {
            name: choice
            if name in fixed
            else MatrixChoice(formats[name], "nearest" if name == HEAD else "descent")
            for name, choice in named.items()
        }

    def _sums(self, found: Mapping[str, MatrixChoice]) -> dict[str, float]:
        """Bytes and cycles of choices, in the order of the limits, where they are limited."""
        precision = precision_of(found)
        makers = {
            "bytes": lambda: traffic(self._shape, precision).read(position=0, tokens=1),
            "cycles": lambda: self._cycles(precision),
        }
        return {name: make() for name, make in makers.items() if name in self._budget.limits}

    def _open(self, titles: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
        """The matrices whose divergence counts: the others' is in every choice alike."""
        all_count = self._budget.perplexity_ratio is not None
        return {name: one for name, one in titles.items() if all_count or len(one) > 1}

    def _measured(self, titles: Mapping[str, Sequence[str]], texts: Texts) -> Sensitivities:
        """Divergences, which are kept by content: what is there already is not measured again."""
        apart = first_tokens(texts.apart, self._budget.tokens)
        kept = Measurements.of(_KIND, self._checkpoint.content_id, texts.calibration, apart)
        return measure(
            self._checkpoint,
            texts.calibration,
            apart,
            titles,
            known=kept.known(float),
            keep=kept.keep,
            device=self._device,
            progress=self._progress,
        )

    def _options(
        self, titles: Mapping[str, Sequence[str]], losses: Sensitivities
    ) -> dict[str, list[Option]]:
        """What each choice adds to what a model with the first format everywhere takes."""
        base = Precision(self._budget.formats[0], self._budget.formats[0])
        costs: dict[tuple[str, str], tuple[int, int]] = {}
        found: dict[str, list[Option]] = {}
        for name, formats in titles.items():
            kind = name if name == HEAD else name.split(".", 2)[2]
            for title in formats:
                if (kind, title) not in costs:
                    costs[kind, title] = self._difference(base, kind, title)
                size, cycles = costs[kind, title]
                loss = losses.get(name, {}).get(title, 0.0)
                found.setdefault(name, []).append(Option(title, size, cycles, loss))
        size = traffic(self._shape, base).read(position=0, tokens=1)
        found[_REST] = [Option("", size, self._cycles(base), 0.0)]
        return found

    def _difference(self, base: Precision, kind: str, title: str) -> tuple[int, int]:
        """Bytes and cycles that a matrix in a format takes more than in that of `base`."""
        head = kind == HEAD
        other = (
            replace(base, head=title)
            if head
            else replace(base, matrices={f"layers.*.{kind}": title})
        )
        shape = replace(self._shape, layers=1)
        read = [
            traffic(shape, one).read(position=0, tokens=1, layers=range(int(not head)), head=head)
            for one in (other, base)
        ]
        cycles = [
            predict(
                self._design,
                shape,
                "decode",
                precision=one,
                layers=int(not head),
                embed=False,
                head=head,
            ).cycles
            for one in (other, base)
        ]
        return read[0] - read[1], round(cycles[0] - cycles[1])

    def _cycles(self, precision: Precision) -> int:
        """Modelled cycles of decoding the first token."""
        return round(predict(self._design, self._shape, "decode", precision=precision).cycles)

    def _solved(
        self, options: Mapping[str, Sequence[Option]], limits: Mapping[str, float]
    ) -> dict[str, str]:
        """Formats that keep within limits as compiled: programs and cycles are tried."""
        limits, most_runs, over = dict(limits), self._most_runs(), 0.0
        for _ in range(_ROUNDS):
            found = choose(options, limits, most_runs=most_runs)
            del found[_REST]
            precision = precision_of({name: MatrixChoice(one, "") for name, one in found.items()})
            report = attempt(self._shape, self._design, GROUP, precision)
            if isinstance(report, FitReport):
                if most_runs == 1 or not _program_too_long(report):
                    raise DoesNotFit(report)
                most_runs -= 1
                continue
            if self._budget.decode_cycles is not None:
                over = self._cycles(precision) - self._budget.decode_cycles
            if over <= 0:
                return found
            limits["cycles"] -= over
        raise RunError(
            f"decode_cycles must be met within {_ROUNDS} tries of the cycle model, not missed by "
            f"{over:,.0f} ({self._place}: budget)"
        )

    def _most_runs(self) -> int:
        """Runs of layers that programs have room for: as many as two sizes of programs suggest."""
        first = self._budget.formats[0]
        other = next((one for one in self._budget.formats if one != first), first)
        alone = Precision(first, first, {"layers.0.mlp.down": other})
        sizes = []
        for precision in (Precision(first, first), alone):
            found = attempt(self._shape, self._design, GROUP, precision, proved=False)
            if isinstance(found, FitReport):
                return 1
            sizes.append([len(found.prefill.code), len(found.decode.code)])
        room = self._design.program_bytes
        return 1 + min((room - one) // max(1, two - one) for one, two in zip(*sizes, strict=True))

    def _nearest(self, sums: Mapping[str, float], ratio: str = "estimated") -> str:
        """What no choice keeps, and what is nearest; `ratio` says how its ratio is known."""
        asked, known = self._budget.limits, {"cycles": " (modelled)", "loss": f" ({ratio})"}
        told = ", ".join(
            f"{_FIELDS[name]} {_shown(name, value)}{known.get(name, '')}"
            for name, value in sums.items()
        )
        wanted = ", ".join(f"{_FIELDS[name]} {_shown(name, asked[name])}" for name in sums)
        return (
            f"a budget must be one that formats keep within, nearest {told}, not {wanted} "
            f"({self._place}: budget)"
        )


def _shown(name: str, value: float) -> str:
    return f"{exp(value):.4f}" if name == "loss" else f"{value:,.0f}"


def _program_too_long(report: FitReport) -> bool:
    return any(item.resource == "program" and not item.fits for item in report.items)
