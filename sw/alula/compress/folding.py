"""The same function from weights that round better: what changes them is folded into neighbours.

`rotated` turns the residual stream by an orthogonal matrix, which spreads what is large in a few of
its channels over all (QuaRot: Ashkboos et al., arXiv 2404.00456). `scaled` makes weights of large
inputs larger, and the inputs smaller (AWQ: Lin et al., arXiv 2306.00978). `ordered` sorts the
channels of MLPs, so that rows which matter alike lie together. None costs anything where the model
runs.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alula.compress.calibration import InputRecorder
from alula.frontend import Checkpoint
from alula.ir.precision import HEAD
from alula.quant.floats import FloatArray
from alula.quant.source import Source

_READERS = {
    "attn_norm": ("attn.q", "attn.k", "attn.v"),
    "mlp_norm": ("mlp.gate", "mlp.up"),
    "final_norm": (HEAD,),
}
"""The matrices that read what a norm gives."""
_NORM_OF = {matrix: norm for norm, matrices in _READERS.items() for matrix in matrices}
_WRITERS = ("attn.o", "mlp.down")
"""The matrices whose output is added to the residual stream."""
_SEED = 0
_Wide = NDArray[np.float64]


def rotated(checkpoint: Checkpoint) -> Checkpoint:
    """The model with its residual stream turned; gains of norms are folded into what reads them.

    Always by the same matrix.

    Raises:
        ValueError: the model's norms are not all those of RMS at the beginning of a branch.
    """
    shape = checkpoint.architecture
    if shape.norm != "rmsnorm" or shape.post_norms:
        found = "norms behind branches" if shape.post_norms else shape.norm
        raise ValueError(f"rotate must be off for a model that has {found}, not on")
    turn = _orthogonal(shape.hidden_size)

    def changed(name: str, values: FloatArray) -> _Wide:
        layer, unit, kind = _parts(name)
        if unit in _NORM_OF and kind == "weight":
            gain = checkpoint.tensor(f"{layer}{_NORM_OF[unit]}.weight")
            return (values * gain.astype(np.float64)) @ turn
        if unit in _READERS:
            return np.ones(values.shape)
        if unit in _WRITERS and kind == "weight":
            return turn.T @ values
        return values @ turn if unit in (*_WRITERS, "embed") else values.astype(np.float64)

    return checkpoint.rewritten(changed, "rotated")


def scaled(checkpoint: Checkpoint, sizes: Mapping[str, FloatArray], strength: float) -> Checkpoint:
    """The model with inputs of matrices divided by a power of their size.

    Those are what norms give, and what goes into `mlp.down` where the MLP is gated.

    Args:
        checkpoint: the model.
        sizes: root mean squares of the channels, as `input_sizes` gives them.
        strength: the power, 0 to 1.
    """
    gated = checkpoint.architecture.gated_mlp
    factors = {
        name: _factors(size, strength)
        for name, size in sizes.items()
        if gated or not name.endswith("mlp.down")
    }

    def changed(name: str, values: FloatArray) -> _Wide:
        layer, unit, kind = _parts(name)
        result = values.astype(np.float64)
        if kind == "weight":
            result *= factors.get(layer + _NORM_OF.get(unit, unit), 1.0)
        if unit in _READERS:
            return values / factors[layer + unit]
        if unit == "mlp.up" and (behind := factors.get(f"{layer}mlp.down")) is not None:
            result = (result.T / behind).T
        return result

    return checkpoint.rewritten(changed, f"scaled {strength} {_digest(factors)}")


def ordered(checkpoint: Checkpoint, sizes: Mapping[str, FloatArray]) -> Checkpoint:
    """The model with the channels of its MLPs sorted, those first that give most to the output.

    Args:
        checkpoint: the model.
        sizes: root mean squares of what goes into `mlp.down`, as `input_sizes` gives them.
    """
    orders: dict[str, NDArray[np.intp]] = {}
    for index in range(checkpoint.architecture.layers):
        name = f"layers.{index}.mlp.down"
        given = channel_energies(checkpoint.tensor(f"{name}.weight"), np.square(sizes[name]))
        orders[f"layers.{index}."] = np.argsort(-given, kind="stable")

    def changed(name: str, values: FloatArray) -> FloatArray:
        layer, unit, kind = _parts(name)
        if unit in _READERS["mlp_norm"]:
            return values[orders[layer]]
        return values[:, orders[layer]] if (unit, kind) == ("mlp.down", "weight") else values

    return checkpoint.rewritten(changed, f"ordered {_digest(orders)}")


def channel_energies(down: FloatArray, squares: NDArray[np.floating]) -> _Wide:
    """Mean squares of what each channel of an MLP gives to its output, summed over the output.

    Args:
        down: weights of `mlp.down`.
        squares: mean squares of its inputs, in any unit.
    """
    return np.square(down, dtype=np.float64).sum(0) * squares


@torch.inference_mode()
def input_sizes(
    source: Source, windows: Sequence[Sequence[int]], device: str | torch.device = "cpu"
) -> dict[str, FloatArray]:
    """Root mean squares, on a text, of what norms give and what goes into `mlp.down`, by these."""
    shape, model = source.architecture, InputRecorder(source, device)
    positions = torch.arange(len(windows[0]), device=device)
    hidden = [model.embed(ids, positions) for ids in torch.tensor(windows, device=device)]
    found: dict[str, FloatArray] = {}
    for layer in range(shape.layers):
        wanted = {"attn_norm": "attn.q", "mlp_norm": "mlp.up", "mlp.down": "mlp.down"}
        sums: dict[str, Tensor] = {}
        for number, one in enumerate(hidden):
            hidden[number], inputs = model.layer_and_inputs(layer, one, positions)
            for name, matrix in wanted.items():
                square = inputs[matrix].double().square().mean(0)
                sums[name] = sums[name] + square if number else square
        for name, total in sums.items():
            found[f"layers.{layer}.{name}"] = _root(total / len(hidden))
        model.forget(f"layers.{layer}")
    squares = [model.head_input(one).double().square().mean(0) for one in hidden]
    return found | {"final_norm": _root(torch.stack(squares).mean(0))}


def _root(squares: Tensor) -> FloatArray:
    return squares.sqrt().float().cpu().numpy()


def _factors(size: FloatArray, strength: float) -> _Wide:
    """Powers of sizes, their geometric mean 1."""
    wide = np.maximum(size.astype(np.float64), 1e-6 * size.max(initial=1e-30))
    logs = strength * np.log(wide)
    return np.exp(logs - logs.mean())


def _digest(found: Mapping[str, NDArray[Any]]) -> str:
    return sha256(b"".join(values.tobytes() for values in found.values())).hexdigest()


def _orthogonal(size: int) -> _Wide:
    """A random orthogonal matrix, each as likely as any other."""
    turn, upper = np.linalg.qr(np.random.default_rng(_SEED).standard_normal((size, size)))
    return turn * np.sign(np.diag(upper))


def _parts(name: str) -> tuple[str, str, str]:
    """`layers.3.`, `attn.q` and `weight` of a tensor's name."""
    unit, _, kind = name.rpartition(".")
    if not unit.startswith("layers."):
        return "", unit, kind
    _, layer, rest = unit.split(".", 2)
    return f"layers.{layer}.", rest, kind
