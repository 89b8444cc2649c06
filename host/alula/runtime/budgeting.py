"""Formats for a recipe's budget: what each costs is measured and modelled, then solved exactly."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING

from alula import files
from alula.codegen.plan import attempt
from alula.compress.budget import Option, Unreachable, choose
from alula.compress.recipe import FormatBudget, MatrixChoice, Recipe, precision_of
from alula.compress.sensitivity import Sensitivities, measure
from alula.cost import predict
from alula.design import GROUP, Design
from alula.folders import cache_folder, new_file
from alula.frontend import Checkpoint
from alula.ir import Precision
from alula.ir.precision import HEAD
from alula.mapper import DoesNotFit, FitReport, traffic
from alula.progress import Progress
from alula.runtime.errors import RunError
from alula.sources import sources_id

if TYPE_CHECKING:
    import torch

_KIND = "sensitivities"
_REST = "all but matrices"
_ROUNDS = 32
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
        self, named: Mapping[str, MatrixChoice], windows: Sequence[Sequence[int]]
    ) -> dict[str, MatrixChoice]:
        """Choose.

        Args:
            named: what applies to each matrix by rules, or where there are none.
            windows: token ids of the calibration's text.

        Raises:
            RunError: nothing keeps within the budget; the message says what is nearest.
            DoesNotFit: the design cannot run the model.
        """
        fixed = self._recipe.named(named)
        titles = {
            name: [choice.format] if name in fixed else self._budget.formats
            for name, choice in named.items()
        }
        losses = self._measured(self._open(titles), windows)
        options = self._options(titles, losses)
        found = self._solved(options)
        return {
            name: choice
            if name in fixed
            else MatrixChoice(found[name], "nearest" if name == HEAD else "descent")
            for name, choice in named.items()
        }

    def _open(self, titles: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
        """The matrices whose divergence counts: the others' is in every choice alike."""
        all_count = self._budget.perplexity_ratio is not None
        return {name: one for name, one in titles.items() if all_count or len(one) > 1}

    def _measured(
        self, titles: Mapping[str, Sequence[str]], windows: Sequence[Sequence[int]]
    ) -> Sensitivities:
        """Divergences, which are kept by content: what is there already is not measured again."""
        length = min(len(windows[0]), self._budget.tokens)
        some = [ids[:length] for ids in windows[: max(1, self._budget.tokens // length)]]
        code = sources_id("alula.compress", "alula.quant", "alula.frontend")
        key = json.dumps([self._checkpoint.content_id, some, code])
        place = cache_folder() / _KIND / f"{sha256(key.encode()).hexdigest()}.json"

        def keep(found: Sensitivities) -> None:
            place.parent.mkdir(parents=True, exist_ok=True)
            with new_file(place) as file:
                file.write(json.dumps(found).encode())

        return measure(
            self._checkpoint,
            some,
            titles,
            known=_kept(place),
            keep=keep,
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
                loss = losses[name][title] if name in losses else 0.0
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

    def _solved(self, options: Mapping[str, Sequence[Option]]) -> dict[str, str]:
        """Formats that keep within the budget as compiled: programs and cycles are tried."""
        limits, most_runs, over = self._budget.limits, self._most_runs(), 0.0
        for _ in range(_ROUNDS):
            try:
                found = choose(options, limits, most_runs=most_runs)
            except Unreachable as error:
                raise RunError(self._nearest(error.nearest)) from None
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
            limits = limits | {"cycles": limits["cycles"] - over}
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

    def _nearest(self, sums: Mapping[str, float]) -> str:
        asked = self._budget.limits
        told = ", ".join(f"{_FIELDS[name]} {_shown(name, value)}" for name, value in sums.items())
        wanted = ", ".join(f"{_FIELDS[name]} {_shown(name, asked[name])}" for name in sums)
        return (
            f"a budget must be one that formats keep within, nearest {told}, not {wanted} "
            f"({self._place}: budget)"
        )


def _shown(name: str, value: float) -> str:
    return f"{exp(value):.4f}" if name == "loss" else f"{value:,.0f}"


def _program_too_long(report: FitReport) -> bool:
    return any(item.resource == "program" and not item.fits for item in report.items)


def _kept(place: Path) -> Sensitivities:
    """What was measured before; nothing where the file is absent or damaged."""
    try:
        found = json.loads(files.read_bytes(place))
        return {
            str(name): {str(title): float(value) for title, value in values.items()}
            for name, values in found.items()
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
