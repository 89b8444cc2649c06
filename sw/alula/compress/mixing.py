"""Formats for the rows of matrices, block by block: what each would lose, and an exact choice.

A block of rows loses what its outputs would differ by, as its method counts it, as a share of the
whole matrix's output. Outputs of `mlp.gate` and `mlp.up` count by what their channels give to that
of `mlp.down`, where the method reads a text. Of several layers that are to have the same bands the
shares add up.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import gcd

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alula.compress.calibration import SHARED, InputRecorder, Moments
from alula.compress.folding import channel_energies
from alula.compress.methods import needs_text, row_losses
from alula.compress.recipe import MatrixChoice, Mix
from alula.design import BLOCK, DesignError
from alula.ir import Architecture
from alula.ir.bands import title_of
from alula.ir.padding import pad_heads
from alula.isa.formats import MATRIX_FORMATS, WeightFormat
from alula.mapper.traffic import matrix_bytes
from alula.progress import Progress, silent
from alula.quant import padded
from alula.quant.floats import SMALLEST
from alula.quant.source import Source

Losses = dict[str, dict[str, list[float]]]
"""Shares of a matrix's output that its blocks of rows lose, by a key of it and the format."""
_STAGE = "measuring rows"
_CHANNELS, _DOWN = SHARED[2][0], SHARED[3][0]
"""The matrices whose rows are channels of the MLP, by the first; and the one that reads them."""
_MOST_SIZE = 1 << 14
"""Sizes that are told apart: what is larger is counted in larger units, rounded up."""


def mixed(
    checkpoint: Source,
    choices: Mapping[str, MatrixChoice],
    windows: Sequence[Sequence[int]],
    *,
    known: Losses | None = None,
    keep: Callable[[Losses], None] = lambda found: None,
    device: str | torch.device = "cpu",
    progress: Progress = silent,
) -> dict[str, MatrixChoice]:
    """Choose the bands of matrices that are to have several formats; other choices stay.

    Args:
        checkpoint: the dense model.
        choices: what a recipe says of each matrix.
        windows: token ids of the text to choose on, all of one length.
        known: what an earlier start measured, which is taken.
        keep: gets all that was measured after each matrix.
        device: where the model runs.
        progress: told of each matrix.
    """
    source = padded(checkpoint)
    losses = {name: dict(found) for name, found in (known or {}).items()}
    missing = {
        name: (choice.mix, losses.setdefault(_key(name, choice.method, choice.mix), {}))
        for name, choice in choices.items()
        if choice.mix is not None
    }
    missing = {
        name: (mix, found)
        for name, (mix, found) in missing.items()
        if not found.keys() >= set(mix.formats)
    }
    methods = {name: choices[name].method for name in missing}
    for done, (name, moments, channels) in enumerate(_moments(source, methods, windows, device)):
        progress(_STAGE, done, len(missing))
        mix, found = missing[name]
        weight = torch.from_numpy(source.tensor(f"{name}.weight")).to(device)
        for title in mix.formats:
            if title not in found:
                fmt = MATRIX_FORMATS[title]
                lost, whole = row_losses(methods[name], weight, fmt, moments)
                shares = _shares(lost.double().cpu(), whole.double().cpu(), channels)
                found[title] = [float(block.sum()) for block in shares.split(mix.rows)]
        keep(losses)
    if missing:
        progress(_STAGE, len(missing), len(missing))
    return _with_bands(source, choices, losses)


def check_limits(
    architecture: Architecture, choices: Mapping[str, MatrixChoice], source: str
) -> None:
    """DesignError if the limit of a mix is below what its smallest format takes of a matrix.

    `source` names the recipe in its text.
    """
    for name, choice in choices.items():
        if choice.mix is not None:
            rows, inputs = pad_heads(architecture).projections[name.split(".", 2)[2]]
            smallest = _sizes(choice.mix, rows, inputs).min(1).sum()
            if choice.mix.stored_bits is not None and smallest > choice.mix.most(rows, inputs):
                bits = 8 * smallest / (rows * inputs)
                wanted = f"at least {bits:.4g} for {name}, as the smallest of the formats has"
                raise DesignError(wanted, f"{choice.mix.stored_bits:g}", f"{source}: stored_bits")


def least(
    losses: NDArray[np.float64], sizes: NDArray[np.int64], limit: int, most_bands: int
) -> list[int]:
    """The format of each block that loses least, of all choices within a limit.

    Args:
        losses: of each block in each format, ``[blocks, formats]``.
        sizes: the same of sizes.
        limit: the most of sizes together.
        most_bands: runs of neighbouring blocks with the same format.

    Raises:
        ValueError: no choice is within the limit.
    """
    unit = gcd(*sizes.ravel().tolist())
    unit *= max(1, -(-limit // (unit * _MOST_SIZE)))
    sizes, room = -(-sizes // unit), limit // unit + 1
    blocks, formats = losses.shape
    # By bands so far, format of the last block and size so far: the least loss.
    best = np.full((most_bands, formats, room), np.inf)
    for one in range(formats):
        best[0, one, sizes[0, one] : sizes[0, one] + 1] = losses[0, one]
    before = np.zeros((blocks, most_bands, formats, room), np.int8)
    for block in range(1, blocks):
        now = np.full_like(best, np.inf)
        for one in range(formats):
            size, stay = int(sizes[block, one]), best[:, one].copy()
            origin = np.full(stay.shape, one, np.int8)
            if formats > 1:
                other = np.delete(best[:-1], one, axis=1)
                better = other.min(axis=1, initial=np.inf) < stay[1:]
                chosen = other.argmin(axis=1)
                origin[1:][better] = (chosen + (chosen >= one))[better]
                stay[1:][better] = other.min(axis=1)[better]
            kept = max(0, room - size)
            now[:, one, room - kept :] = stay[:, :kept] + losses[block, one]
            before[block, :, one, room - kept :] = origin[:, :kept]
        best = now
    if not np.isfinite(best.min()):
        raise ValueError(f"limit must be at least that of the smallest format, not {limit}")
    bands, last, size = (int(one) for one in np.unravel_index(best.argmin(), best.shape))
    found = [last]
    for block in range(blocks - 1, 0, -1):
        origin = int(before[block, bands, last, size])
        size -= int(sizes[block, last])
        bands -= origin != last
        last = origin
        found.append(last)
    return found[::-1]


def _key(name: str, method: str, mix: Mix) -> str:
    """Of what is measured: a matrix by a method, in blocks of so many rows."""
    return f"{name} {method} {mix.rows}"


def _moments(
    source: Source,
    methods: Mapping[str, str],
    windows: Sequence[Sequence[int]],
    device: str | torch.device,
) -> Iterator[tuple[str, Moments | None, Tensor | None]]:
    """Matrices in order, with the moments of their inputs where any method wants them.

    And what each of their rows gives to the MLP's output, where it is a channel of that.
    """
    model = hidden = None
    if any(map(needs_text, methods.values())):
        model = InputRecorder(source, device)
        hidden = model.embedded(windows)
    for layer in range(source.architecture.layers):
        names = {
            name: kinds[0]
            for kinds in SHARED
            for kind in kinds
            if (name := f"layers.{layer}.{kind}") in methods
        }
        found: dict[str, Moments] = {}
        if model is not None and hidden is not None:
            squares = model.pass_through(layer, hidden, {*names.values(), _DOWN})
            found = {name: Moments(square, square) for name, square in squares.items()}
            model.forget(f"layers.{layer}")
        for name, first in names.items():
            channels = None
            if needs_text(methods[name]) and first == _CHANNELS:
                down = source.tensor(f"layers.{layer}.{_DOWN}.weight")
                squares_of = found[_DOWN].own.diagonal().cpu().numpy()
                channels = torch.from_numpy(channel_energies(down, squares_of))
            yield name, found.get(first), channels


def _shares(lost: Tensor, whole: Tensor, channels: Tensor | None) -> Tensor:
    """What rows lose as shares of all, which count by what they are themselves or channels give."""
    counts = whole if channels is None else channels
    return lost / whole.clamp(min=SMALLEST) * (counts / counts.sum())


def _with_bands(
    source: Source, choices: Mapping[str, MatrixChoice], losses: Losses
) -> dict[str, MatrixChoice]:
    """Choices with bands instead of mixes: the same for matrices that are to be alike."""
    found, alike = dict(choices), dict[tuple[str, int, str, str], list[str]]()
    for name, choice in choices.items():
        if choice.mix is not None:
            _, layer, kind = name.split(".", 2)
            run = int(layer) // choice.mix.layers if choice.mix.layers else 0
            key = (kind, run, choice.method, choice.mix.model_dump_json())
            alike.setdefault(key, []).append(name)
    for names in alike.values():
        first = choices[names[0]]
        assert first.mix is not None
        size = source.architecture.projections[names[0].split(".", 2)[2]]
        lost = [losses[_key(name, first.method, first.mix)] for name in names]
        title = _bands(first.mix, size, lost)
        for name in names:
            found[name] = MatrixChoice(title, first.method)
    return found


def _bands(mix: Mix, size: tuple[int, int], lost: Iterable[Mapping[str, Sequence[float]]]) -> str:
    """The title of the bands of matrices that lose so much."""
    rows, inputs = size
    counts, sizes = _counts(mix, rows), _sizes(mix, rows, inputs)
    shares = np.array([[one[title] for title in mix.formats] for one in lost]).sum(0).T
    chosen = least(shares, sizes, mix.most(rows, inputs), min(mix.bands, len(counts)))
    return title_of((mix.formats[one], count) for one, count in zip(chosen, counts, strict=True))


def _counts(mix: Mix, rows: int) -> list[int]:
    """Rows of each block of a matrix."""
    return [min(mix.rows, rows - first) for first in range(0, rows, mix.rows)]


def _sizes(mix: Mix, rows: int, inputs: int) -> NDArray[np.int64]:
    """What the mix limits, of each block in each format."""
    formats = [MATRIX_FORMATS[title] for title in mix.formats]
    counts = _counts(mix, rows)
    return np.array([[_size(mix, fmt, count, inputs) for fmt in formats] for count in counts])


def _size(mix: Mix, fmt: WeightFormat, rows: int, inputs: int) -> int:
    """Weights that rows keep of a block of inputs, or their bytes: what the mix limits."""
    if mix.keep is None:
        return matrix_bytes(fmt, rows, inputs)
    return rows * BLOCK // fmt.pattern.segments
