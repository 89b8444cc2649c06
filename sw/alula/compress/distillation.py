"""Recovery: the codes of all layers trained together, to say what the dense model does.

The dense model's distribution of the next token is the goal at every token of a text (knowledge
distillation: Hinton et al., arXiv 1503.02531; for quantised weights LLM-QAT, arXiv 2305.17888; with
patterns AST, arXiv 2407.20584), alone or together with the text's own next token. Levels, scales,
mins, the choice of what a pattern keeps and the gains of norms are trained; embedding and head stay
as they are.
"""

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from alula.compress.gains import Gains
from alula.compress.grid import Codes, matrix_name
from alula.compress.latents import Latents
from alula.compress.student import Student
from alula.progress import Progress, silent
from alula.quant.floats import FloatArray
from alula.quant.padded import padded
from alula.quant.source import Source

_CHUNK = 2048
"""Tokens whose logits are held at a time."""
_WARM_UP = 0.02
"""Share of the steps in which the rate rises."""
_LAST_RATE = 0.02
"""Share of the rate that is left at the last step."""
_SETTLED = 0.7
"""Share of the steps after which patterns keep what they have."""
_SAVE_SECONDS = 60
"""How long training goes on until it is kept."""
_BETAS = (0.9, 0.99)
_EPSILON = 1e-12
_NO_TOKEN = -100


@dataclass(frozen=True)
class Distillation:
    """How codes are trained.

    Attributes:
        steps: updates.
        batch: windows of a step.
        rate: of Adam, in levels of a group for weights and mins, a share for scales and gains.
        select: steps from one choice of what patterns keep to the next; 0: it stays.
        decay: share that weights which are not kept lose in a step.
        seed: of the order of windows, and of where weights start within their levels.
        task_loss: weight of the cross-entropy to the text's next token, 0 to 1; that of the
            divergence from the dense model is the rest.
    """

    steps: int
    batch: int = 8
    rate: float = 1e-3
    select: int = 20
    decay: float = 2e-4
    seed: int = 0
    task_loss: float = 0.0


@dataclass(frozen=True)
class Recovered:
    """What training made.

    Attributes:
        codes: of each matrix or band that was given.
        gains: the norms' gains by the name of their tensor, float32.
        losses: mean of each step, nats a token.
    """

    codes: dict[str, Codes]
    gains: dict[str, Tensor]
    losses: list[float]


def distil(
    checkpoint: Source,
    codes: Mapping[str, Codes],
    windows: Tensor,
    settings: Distillation,
    *,
    device: str | torch.device = "cpu",
    keep: Path | None = None,
    progress: Progress = silent,
) -> Recovered:
    """Train the codes of a model on a text until it says what the dense model does.

    On a CUDA device matrices are multiplied in bfloat16, else in float32.

    Args:
        checkpoint: the dense model.
        codes: where training starts, by name of the matrix, or those of its bands (`named_codes`);
            what is not named stays dense.
        windows: token ids, int64 ``[windows, tokens]``.
        settings: how.
        device: where.
        keep: a file for what is needed to go on after an end too soon; removed at the end.
        progress: called for each step.

    Raises:
        ValueError: `keep` is of another training; fewer windows than a step takes.
    """
    if len(windows) < settings.batch:
        raise ValueError(f"text must have {settings.batch} windows or more, not {len(windows)}")
    training = _Training(padded(checkpoint), codes, windows, settings, torch.device(device))
    if keep is not None and keep.exists():
        training.restore(keep)
    kept = time.monotonic()
    while training.step < settings.steps:
        progress("distilling", training.step, settings.steps)
        training.update()
        if keep is not None and time.monotonic() - kept >= _SAVE_SECONDS:
            training.save(keep)
            kept = time.monotonic()
    progress("distilling", settings.steps, settings.steps)
    if keep is not None:
        keep.unlink(missing_ok=True)
    return training.result()


class _Training:
    """The state of a training, and one step of it."""

    def __init__(
        self,
        source: Source,
        codes: Mapping[str, Codes],
        windows: Tensor,
        settings: Distillation,
        device: torch.device,
    ) -> None:
        self.step = 0
        self._settings, self._windows = settings, windows
        self._key = _key(codes, windows, settings)
        on_gpu = device.type == "cuda"
        shape = source.architecture
        dense = {
            part: rows.to(device)
            for name, parts in groupby(codes, key=matrix_name)
            for part, rows in _rows(codes, list(parts), source.tensor(f"{name}.weight")).items()
        }
        folded = {
            name: shape.attention_scale
            for name in codes
            if matrix_name(name).endswith("attn.q") and not shape.qk_norm
        }
        dtype = torch.bfloat16 if on_gpu else torch.float32
        self._latents = Latents(codes, dense, folded, dtype, settings.seed)
        self._gains = Gains(source, device)
        trained = {f"{name}.weight": weight for name, weight in self._latents.weights.items()}
        self._student = Student(source, trained | self._gains.values, device)
        self._teacher = Student(source, {}, device)
        lost = _lost if settings.task_loss else _apart
        self._lost = torch.compile(lost) if on_gpu else lost
        task, tokens = settings.task_loss, windows.shape[1]
        self._weights = torch.tensor([1 - task, task * tokens / max(1, tokens - 1)], device=device)
        self._adam = self._optimiser(settings.rate)
        self._ids = torch.zeros(settings.batch, windows.shape[1], dtype=torch.int64, device=device)
        self._loss = torch.zeros((), device=device)
        self._losses: list[Tensor] = []
        self._replay: Callable[[], None] | None = None

    def update(self) -> None:
        """One step."""
        settings = self._settings
        self._ids.copy_(self._windows[self._order()])
        self._gradients()
        self._losses.append(self._loss.clone())
        for group in self._adam.param_groups:
            group["lr"] = settings.rate * self._rate()
        self._adam.step()
        if settings.select:
            self._latents.decay(settings.decay)
            if self.step % settings.select == 0 and self.step < _SETTLED * settings.steps:
                self._latents.select()
        self.step += 1

    def result(self) -> Recovered:
        losses = [float(loss) for loss in self._losses]
        return Recovered(self._latents.codes(), self._gains.result(), losses)

    def save(self, file: Path) -> None:
        """Write all that is needed to go on, whole or not at all."""
        partial = file.with_name(f"{file.name}.tmp")
        torch.save(self._state(), partial)
        partial.replace(file)

    def restore(self, file: Path) -> None:
        """Go on from what was written. ValueError if it is of another training."""
        state = torch.load(file, map_location="cpu", weights_only=True)
        if state["key"] != self._key:
            raise ValueError(f"{file} must be of this training, not of another")
        self.step = state["step"]
        self._latents.restore(state["latents"])
        self._losses = list(state["losses"])
        self._adam.load_state_dict(state["adam"])
        with torch.no_grad():
            self._gains.shares.copy_(state["gains"])

    def _state(self) -> dict[str, object]:
        return {
            "key": self._key,
            "step": self.step,
            "latents": self._latents.state(),
            "gains": self._gains.shares,
            "adam": self._adam.state_dict(),
            "losses": torch.stack(self._losses) if self._losses else torch.zeros(0),
        }

    def _optimiser(self, rate: float) -> torch.optim.Optimizer:
        trained = [*self._latents.parameters.values(), self._gains.shares]
        fused = self._student.device.type == "cuda"
        return torch.optim.Adam(trained, lr=rate, betas=_BETAS, eps=_EPSILON, fused=fused)

    def _rate(self) -> float:
        """Share of the rate at this step: up in a line, then down along a cosine."""
        done = self.step / self._settings.steps
        if done < _WARM_UP:
            return (self.step + 1) / (_WARM_UP * self._settings.steps + 1)
        share = (done - _WARM_UP) / (1 - _WARM_UP)
        return _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * share))

    def _order(self) -> Tensor:
        """The windows of this step: all in turn, in a new order each time round."""
        batch = self._settings.batch
        a_round = len(self._windows) // batch
        turn, place = divmod(self.step, a_round)
        generator = torch.Generator().manual_seed(self._settings.seed + turn)
        return torch.randperm(len(self._windows), generator=generator)[place * batch :][:batch]

    def _gradients(self) -> None:
        """Gradients of all parameters for the windows of a step, and the loss."""
        if self._replay is None:
            self._replay = self._captured() if self._student.device.type == "cuda" else self._pass
        self._replay()

    def _captured(self) -> Callable[[], None]:
        """The pass as one graph of kernels, so that the CPU is not waited for."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self._pass()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._pass()
        return graph.replay

    def _pass(self) -> None:
        self._latents.quantise()
        self._gains.multiply()
        with self._precision():
            with torch.no_grad():
                goal = self._teacher.text(self._ids)
            hidden = self._student.text(self._ids)
            leaf = hidden.detach().requires_grad_()
            self._loss.zero_()
            parts = (part.split(_CHUNK) for part in (leaf, goal, _next_tokens(self._ids)))
            for ours, theirs, targets in zip(*parts, strict=True):
                part = self._lost_by(ours, theirs, targets) / len(leaf)
                part.backward()
                self._loss += part.detach()
        hidden.backward(leaf.grad)
        self._latents.backward()
        self._gains.backward()

    def _lost_by(self, ours: Tensor, theirs: Tensor, targets: Tensor) -> Tensor:
        """The loss for the last layer's outputs, in nats, summed over tokens."""
        with torch.no_grad():
            goal = self._teacher.head(theirs)
        return self._lost(self._student.head(ours), goal, targets, self._weights)

    def _precision(self) -> AbstractContextManager[object]:
        if self._student.device.type != "cuda":
            return nullcontext()
        return torch.autocast("cuda", torch.bfloat16, cache_enabled=False)


def _apart(ours: Tensor, theirs: Tensor, *rest: Tensor) -> Tensor:
    """How far logits ``[tokens, vocab_size]`` are from the dense model's, as `_lost` has it."""
    goal, found = (F.log_softmax(logits.float(), -1) for logits in (theirs, ours))
    return F.kl_div(found, goal, reduction="sum", log_target=True)


def _lost(ours: Tensor, theirs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Of logits ``[tokens, vocab_size]``, in nats, summed over tokens.

    Args:
        ours: the student's.
        theirs: the dense model's.
        targets: the text's next tokens, `_NO_TOKEN` behind the last one of a window.
        weights: of the divergence from the dense model, and of the cross-entropy to the text.
    """
    found = F.log_softmax(ours.float(), -1)
    task = F.nll_loss(found, targets, reduction="sum", ignore_index=_NO_TOKEN)
    return weights[0] * _apart(ours, theirs) + weights[1] * task


def _next_tokens(windows: Tensor) -> Tensor:
    """What follows each token of windows, flat."""
    return F.pad(windows[:, 1:], (0, 1), value=_NO_TOKEN).flatten()


def _rows(
    codes: Mapping[str, Codes], parts: Sequence[str], weight: FloatArray
) -> dict[str, Tensor]:
    """The rows of a matrix that belong to each of its parts."""
    rows = torch.from_numpy(weight).split([len(codes[part].levels) for part in parts])
    return dict(zip(parts, rows, strict=True))


def _key(codes: Mapping[str, Codes], windows: Tensor, settings: Distillation) -> str:
    """What a training follows from."""
    found = hashlib.sha256(repr(settings).encode())
    found.update(windows.numpy().tobytes())
    for name, one in codes.items():
        found.update(name.encode())
        for part in (one.levels, one.c, one.s, one.m):
            found.update(part.numpy().tobytes())
    return found.hexdigest()
