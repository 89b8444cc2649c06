"""What each recipe costs in perplexity, before and after training, on texts that no recipe reads.

    python -m benchmarks.compression windows MODEL --count N --text DIR --test TEXT ... --out FILE
    python -m benchmarks.compression rows MODEL FILE --recipes w3 w2-trained --device cuda
    python -m benchmarks.compression rows MODEL FILE --types Q4_0 Q5_0
    python -m benchmarks.compression exact MODEL FILE --models MODEL FOLDER

The first draws and encodes the texts, which wants no GPU. The second writes a row for each recipe,
and for each of llama.cpp's types that all matrices are rounded to, to `results/compression.json`
as it is done, and leaves out what is there already. A ratio is the perplexity of the dequantised
weights over that of the dense model's, both in float32. The third is of models as the accelerator
runs them, activations quantised too, and writes `results/compression_exact.json`.
"""

import argparse
import json
import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from gguf import GGMLQuantizationType, dequantize, quantize
from torch import Tensor

from alula.compress import CompressedModel, compress
from alula.compress.recipe import Recipe, load_recipe, precision_of
from alula.compress.recovery import recover
from alula.compress.student import Student
from alula.folders import new_file
from alula.frontend import Checkpoint
from alula.frontend.compressed import matrix_shapes
from alula.ir import Architecture
from alula.mapper import traffic
from alula.quant import QuantizedModel
from alula.quant.padded import padded
from alula.quant.reference import IntegerReference
from alula.runtime.compression import average_bits
from alula.runtime.loading import needed_tokenizer, open_model
from alula.runtime.mixes import with_bands
from alula.runtime.texts import draw_windows, text_of
from benchmarks.report import ROOT, progress_shown

RESULTS = ROOT / "benchmarks" / "results" / "compression.json"
EXACT = RESULTS.with_name("compression_exact.json")
WINDOW, TEST_WINDOWS = 1024, 64
TRAINING = "training"
_BATCH = 8
_ROWS = 256
"""Rows of logits that are made at a time."""


def drawn(model: str, texts: Sequence[Path], tests: Sequence[Path], count: int, out: Path) -> None:
    """Write token ids of windows to train on, and of windows of each text to test on."""
    tokenizer = needed_tokenizer(open_model(model))
    training = draw_windows(texts, tokenizer, windows=count, tokens=WINDOW, seed=0)
    found = {TRAINING: np.array(training, np.int32)}
    for test in tests:
        if test.stem in found:
            raise SystemExit(f"names of tests must differ and not be {TRAINING!r} ({test})")
        ids = tokenizer.encode(text_of(test), special=False)
        windows = np.array(ids[: len(ids) // WINDOW * WINDOW], np.int32).reshape(-1, WINDOW)
        if len(windows) < TEST_WINDOWS:
            raise SystemExit(f"{test} must have {TEST_WINDOWS} windows, not {len(windows)}")
        found[test.stem] = windows[np.linspace(0, len(windows) - 1, TEST_WINDOWS).astype(int)]
    with new_file(out) as file:
        np.savez_compressed(file, allow_pickle=False, **found)


class Measurement:
    """A dense model, the windows, and what recipes make of it.

    Args:
        model: the dense model.
        windows: the file of windows.
        device: torch's.
        tests: windows of each text to test on, evenly drawn from those of the file.
    """

    def __init__(self, model: str, windows: Path, device: str, tests: int = TEST_WINDOWS) -> None:
        self.checkpoint: Checkpoint = open_model(model)
        self.device = torch.device(device)
        with np.load(windows) as file:
            texts = {name: torch.from_numpy(file[name]).long() for name in file.files}
        self.training = texts.pop(TRAINING)
        self.tests = {
            name: one[np.linspace(0, len(one) - 1, tests).astype(int)]
            for name, one in texts.items()
        }
        self._dense = self._losses({})

    def row(self, name: str) -> dict[str, Any]:
        """Compress by a recipe, train if it says so, and measure."""
        recipe, path = load_recipe(name)
        self._check(recipe, name)
        shape = self.checkpoint.architecture
        matrices = [one for unit in shape.units for one in matrix_shapes(shape, unit)]
        choices, text = recipe.choices(matrices, str(path)), self._calibration(recipe)
        start = time.perf_counter()
        with progress_shown() as progress:
            if any(choice.mix for choice in choices.values()):
                windows = [] if text is None else text.tolist()
                choices = with_bands(
                    self.checkpoint, choices, windows, str(path), self.device, progress
                )
            precision = precision_of(choices)
            model = compress(
                self.checkpoint,
                precision,
                text,
                methods={matrix: choice.method for matrix, choice in choices.items()},
                device=self.device,
                progress=progress,
            )
        row = {
            "recipe": name,
            "average_bits": average_bits(model),
            "bytes_per_token": traffic(shape, precision).read(position=0, tokens=1),
            "seconds": time.perf_counter() - start,
            "ratio": self.ratios(model),
            **self._measured(),
        }
        return row | ({} if recipe.recover is None else self._trained(recipe, model))

    def _check(self, recipe: Recipe, name: str) -> None:
        """Refuse what would be measured as something else than the recipe says."""
        if any(part is not None for part in (recipe.budget, recipe.attention, recipe.fold)):
            raise SystemExit(f"{name} must have rules alone, not a budget, attention or a fold")
        wanted = recipe.recover
        if wanted is None:
            return
        there = len(self.training)
        if wanted.window != WINDOW or wanted.windows > there:
            raise SystemExit(
                f"{name}: recover must read at most {there} windows of {WINDOW} tokens,"
                f" not {wanted.windows} of {wanted.window}"
            )

    def type_row(self, name: str) -> dict[str, Any]:
        """Round all matrices to a type of llama.cpp's and measure."""
        kind = GGMLQuantizationType[name]
        source = padded(self.checkpoint)
        found, size, count = {}, 0, 0
        for unit in self.checkpoint.architecture.units:
            for matrix in matrix_shapes(source.architecture, unit):
                weight = source.tensor(f"{matrix}.weight")
                codes = quantize(weight, kind)
                found[f"{matrix}.weight"] = torch.from_numpy(dequantize(codes, kind))
                size, count = size + codes.nbytes, count + weight.size
        return {
            "type": name,
            "average_bits": 8 * size / count,
            "bytes_per_token": size,
            "ratio": self._ratios(found),
            **self._measured(),
        }

    def exact_row(self, name: str) -> dict[str, Any]:
        """Measure a model, or a compressed folder, in the accelerator's integers."""
        model = QuantizedModel(open_model(name))
        reference = IntegerReference(model, self.device)
        with progress_shown() as progress:
            losses = {
                text: self._exact_loss(reference, windows, partial(progress, text))
                for text, windows in self.tests.items()
            }
        return {
            "model": Path(name).name,
            "bytes_per_token": traffic(model.original, model.precision).read(position=0, tokens=1),
            "ratio": {text: math.exp(loss - self._dense[text]) for text, loss in losses.items()},
            **self._measured(),
        }

    def ratios(self, model: CompressedModel) -> dict[str, float]:
        """Perplexity over the dense model's, on each text."""
        shape = padded(self.checkpoint).architecture
        found = {f"{name}.weight": self._weight(shape, model, name) for name in model.shapes}
        gains = {name: torch.from_numpy(gain) for name, gain in model.vectors.items()}
        return self._ratios(found | gains)

    def _ratios(self, weights: Mapping[str, Tensor]) -> dict[str, float]:
        ours = self._losses({name: one.float().to(self.device) for name, one in weights.items()})
        return {name: math.exp(loss - self._dense[name]) for name, loss in ours.items()}

    def _exact_loss(
        self, reference: IntegerReference, windows: Tensor, progress: Callable[[int, int], None]
    ) -> float:
        """Mean cross entropy of the next token in nats."""
        total = 0.0
        for done, ids in enumerate(windows):
            progress(done, len(windows))
            hidden = reference.hidden(ids)[:-1]
            for states, goals in zip(hidden.split(_ROWS), ids[1:].split(_ROWS), strict=True):
                logits = reference.head(states)
                total += F.cross_entropy(logits, goals.to(logits.device), reduction="sum").item()
        return total / windows[:, 1:].numel()

    def _trained(self, recipe: Recipe, model: CompressedModel) -> dict[str, Any]:
        wanted = recipe.recover
        assert wanted is not None
        settings = wanted.settings(seed=0)
        start = time.perf_counter()
        with progress_shown() as progress:
            model = recover(
                self.checkpoint,
                model,
                self.training[: wanted.windows],
                settings,
                device=self.device,
                progress=progress,
            )
        return {
            "training": asdict(settings),
            "training_tokens": wanted.steps * wanted.batch * self.training.shape[1],
            "training_seconds": time.perf_counter() - start,
            "trained_ratio": self.ratios(model),
        }

    def _calibration(self, recipe: Recipe) -> Tensor | None:
        if not recipe.needs_text:
            return None
        wanted = recipe.calibration
        count = max(1, wanted.tokens // wanted.window)
        return self.training[-count:, : wanted.window]

    def _weight(self, shape: Architecture, model: CompressedModel, name: str) -> Tensor:
        folded = name.endswith("attn.q") and not shape.qk_norm
        weight = torch.from_numpy(model.matrix(name).dequantize())
        return weight / (shape.attention_scale if folded else 1.0)

    @torch.no_grad()
    def _losses(self, weights: Mapping[str, Tensor]) -> dict[str, float]:
        """Mean cross entropy of the next token in nats, on each text."""
        model = Student(padded(self.checkpoint), weights, self.device)
        found = {}
        for name, windows in self.tests.items():
            total = 0.0
            for ids in windows.to(self.device).split(_BATCH):
                hidden = model.text(ids).view(*ids.shape, -1)[:, :-1]
                for states, goals in zip(hidden, ids[:, 1:], strict=True):
                    total += F.cross_entropy(model.head(states), goals, reduction="sum").item()
            found[name] = total / windows[:, 1:].numel()
        return found

    def _measured(self) -> dict[str, Any]:
        """On how many tokens of each text, where and when."""
        cuda = self.device.type == "cuda"
        return {
            "test_tokens": next(iter(self.tests.values())).numel(),
            "device": torch.cuda.get_device_name() if cuda else platform.machine(),
            "torch": torch.__version__,
            "date": datetime.now(UTC).date().isoformat(),
        }


def rows(place: Path = RESULTS) -> list[dict[str, Any]]:
    """The rows that have been measured."""
    return json.loads(place.read_text(encoding="utf-8")) if place.exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    draw = commands.add_parser("windows", help="draw and encode the texts")
    draw.add_argument("model")
    draw.add_argument("--text", type=Path, nargs="+", required=True)
    draw.add_argument("--test", type=Path, nargs="+", required=True)
    draw.add_argument("--count", type=int, required=True, help="windows to train on")
    draw.add_argument("--out", type=Path, required=True)
    run = commands.add_parser("rows", help="compress and measure")
    run.add_argument("model")
    run.add_argument("windows", type=Path)
    run.add_argument("--recipes", nargs="*", default=[])
    run.add_argument("--types", nargs="*", default=[])
    exact = commands.add_parser("exact", help="measure models as the accelerator runs them")
    exact.add_argument("model")
    exact.add_argument("windows", type=Path)
    exact.add_argument("--models", nargs="+", required=True, help="models, or compressed folders")
    for command in (run, exact):
        command.add_argument("--device", default="cpu")
        command.add_argument("--tests", type=int, default=TEST_WINDOWS, help="windows of a text")
    words = parser.parse_args()
    if words.command == "windows":
        drawn(words.model, words.text, words.test, words.count, words.out)
        return
    measurement = Measurement(words.model, words.windows, words.device, words.tests)
    if words.command == "exact":
        for name in words.models:
            _add(EXACT, measurement.exact_row(name))
        return
    wanted = [(measurement.row, "recipe", name) for name in words.recipes]
    wanted += [(measurement.type_row, "type", name) for name in words.types]
    for measure, kind, name in wanted:
        if name not in {row.get(kind) for row in rows()}:
            _add(RESULTS, measure(name))


def _add(place: Path, row: dict[str, Any]) -> None:
    print(json.dumps(row), flush=True)
    place.write_text(json.dumps([*rows(place), row], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
