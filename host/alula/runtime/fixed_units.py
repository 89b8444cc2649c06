"""Segments in steps of fixed shapes: compiled and recorded as CUDA graphs, or plain on a CPU.

A step takes 1, 32 or 256 tokens, padded, and looks at 256, 1,024, 4,096, ... rows of keys and
values. What is padded comes behind the tokens, so that no token sees it, and is written over later.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from alula.quant.integers import quantize_kv
from alula.quant.model import QuantizedModel
from alula.quant.source import Source
from alula.runtime.fixed_references import FixedFloat, FixedInteger
from alula.runtime.split import Kind, Segment
from alula.runtime.worker import PROMPT_STEP, KvRows, Output, Work, ignore

_LOG = logging.getLogger(__name__)
STEPS = (1, 32, PROMPT_STEP)
"""Tokens of a step."""
_FIRST_REACH = 256
_LONGEST_COMPILED = 1024
"""Rows up to which exact steps are compiled: sums in their order are slow to compile."""
_AS_WRITTEN = ("emulate_precision_casts", "eager_numerics.division_rounding")
"""Options of the compiler that keep every rounding, without contraction into fused products."""
_MOST_SHAPES = 64
_WARM_UP = 2


class _Key(NamedTuple):
    segment: Segment
    tokens: int
    reach: int


@dataclass
class _Step:
    """A step of one shape with its inputs, which stay where they are.

    Attributes:
        source: token ids [tokens], or hidden states [tokens, hidden_size].
        places: rows of the cache that the tokens take.
        positions: the same within the context, for rope and learned positions.
        row: which token goes through the head.
        run: computes hidden states, logits of the row and its token from these.
    """

    source: Tensor
    places: Tensor
    positions: Tensor
    row: Tensor
    run: Callable[[], tuple[Tensor, Tensor | None, Tensor | None]]


class FixedUnits:
    """Runs segments on a reference of fixed shapes.

    Args:
        reference: the model.
        capacity: tokens of the context.
    """

    shared = True

    def __init__(self, reference: FixedFloat | FixedInteger, capacity: int) -> None:
        self._reference = reference
        self._device = reference.device
        self._graphs = self._device.type == "cuda"
        self._exact = isinstance(reference, FixedInteger)
        self._capacity = capacity
        self._caches = reference.fixed_caches()
        self._steps: dict[_Key, _Step] = {}
        self._quick_layer: Callable[..., Tensor] | None = None
        self._on_layer: Callable[[int], None] = ignore
        self._aside = torch.cuda.Stream(self._device) if self._graphs else None

    def edges(self, longest: int) -> list[int]:
        """Return the lengths of a prompt, or of what is held, at which steps change their shapes.

        Between two of them that follow one another a prompt, and a token that is decoded, take
        steps of the same shapes; on a CPU there are none.

        Args:
            longest: length that is looked at.
        """
        if not self._graphs:
            return []
        found = set[int]()
        for length in range(1, longest):
            if self._shapes(0, length) != self._shapes(0, length + 1) or (
                self._shapes(length, 1) != self._shapes(length + 1, 1)
            ):
                found |= {length, length + 1}
        return sorted(found)

    def _shapes(self, position: int, count: int) -> list[tuple[int, int]]:
        """Return tokens and reach of the steps that some tokens take behind others."""
        starts = range(position, position + count, STEPS[-1])
        return [self._shape(start, min(STEPS[-1], position + count - start)) for start in starts]

    def _shape(self, position: int, tokens: int) -> tuple[int, int]:
        """Return with how many tokens and what reach a step runs."""
        padded = next(size for size in STEPS if size >= tokens) if self._graphs else tokens
        return padded, self._reach(position + padded)

    @staticmethod
    def room(context: int) -> int:
        """Rows of a cache for a context: the last step may be padded."""
        return context + STEPS[-1]

    @torch.inference_mode()
    def run(self, segment: Segment, work: Work) -> Output:
        """Run a segment; see `Worker.run`."""
        pieces, heads = [], []
        self._on_layer = ignore
        token: Tensor | None = None
        start, count = 0, len(work.source)
        while start < count:
            tokens = min(STEPS[-1], count - start)
            last = start + tokens == count
            if last and not self._graphs:
                self._on_layer = work.on_layer
            hidden, logits, token = self._run(segment, work, start, tokens)
            if not segment.head or (work.logits and work.rows > 1):
                pieces.append(hidden[:tokens].clone())
            if segment.head and last and work.logits and work.rows == 1 and logits is not None:
                heads.append(logits)
            start += tokens
        if not segment.head:
            return Output(hidden=torch.cat(pieces).float().cpu().numpy())
        assert token is not None
        if work.logits and work.rows > 1:
            heads = [self._reference.head(torch.cat(pieces)[count - work.rows :])]
        found = heads[0].float().cpu().numpy() if work.logits else None
        return Output(token=int(token), logits=found)

    def _run(
        self, segment: Segment, work: Work, start: int, tokens: int
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Run one step of the tokens from `start` on."""
        position = work.position + start
        padded, reach = self._shape(position, tokens)
        step = self._step(_Key(segment, padded, reach))
        part = work.source[start : start + tokens]
        given = torch.from_numpy(part.astype(np.int64) if segment.embed else part)
        step.source[:tokens].copy_(given)
        places = torch.arange(position, position + padded)
        step.places.copy_(places)
        step.positions.copy_(self._within_context(places))
        step.row.fill_(tokens - 1)
        return step.run()

    def _within_context(self, places: Tensor) -> Tensor:
        """Return positions of places, of which padding may lie beyond the context."""
        return places.clamp(max=self._reference.architecture.max_context - 1)

    def _reach(self, needed: int) -> int:
        """Return how many rows a step looks at that needs at least some."""
        if not self._graphs:
            return needed
        reach = _FIRST_REACH
        while reach < needed:
            reach *= 4
        return min(reach, self.room(self._capacity))

    def _step(self, key: _Key) -> _Step:
        if key not in self._steps:
            step = self._plain(key, self._reference.run_layer)
            self._steps[key] = self._recorded(key, step) if self._graphs else step
            if not self._graphs:
                self._steps = {key: self._steps[key]}
        return self._steps[key]

    def _plain(self, key: _Key, layer: Callable[..., Tensor]) -> _Step:
        """Return a step that runs operation by operation."""
        reference, device, segment = self._reference, self._device, key.segment
        width = reference.architecture.hidden_size
        source = (
            torch.zeros(key.tokens, dtype=torch.int64, device=device)
            if segment.embed
            else torch.zeros((key.tokens, width), device=device)
        )
        places, positions = (
            torch.zeros(key.tokens, dtype=torch.int64, device=device) for _ in range(2)
        )
        row = torch.zeros(1, dtype=torch.int64, device=device)

        def run() -> tuple[Tensor, Tensor | None, Tensor | None]:
            hidden = reference.embed(source, positions) if segment.embed else self._typed(source)
            turn = reference.turn(positions)
            for index in segment.layers:
                cache = self._caches[index]
                cache.begin(places, key.reach)
                hidden = layer(_weights(reference, index), hidden, turn, cache)
                self._on_layer(index)
            if not segment.head:
                return hidden, None, None
            logits = reference.head(hidden.index_select(0, row))
            return hidden, logits, _first_largest(logits[0])

        return _Step(source, places, positions, row, run)

    def _typed(self, hidden: Tensor) -> Tensor:
        return hidden if self._exact else hidden.to(self._caches[0].keys.dtype)

    def _recorded(self, key: _Key, plain: _Step) -> _Step:
        """Return the step as a CUDA graph, of compiled layers where these can be had and trusted.

        Exact steps are trusted if an arbitrary input gives the bits of the plain one.
        """
        if not key.segment.layers or (self._exact and key.reach > _LONGEST_COMPILED):
            return self._graph(key, plain)
        from torch._dynamo.exc import TorchDynamoException

        compiled = self._plain(key, self._compiled())
        try:
            with self._untouched(key):
                self._probe(plain, compiled)
                expected, got = plain.run()[0].clone(), compiled.run()[0]
        except TorchDynamoException as error:
            reason = " ".join(str(error).split())[:200]
            _LOG.warning(
                "compiling a step of %d tokens failed: %s; it runs as it is", key.tokens, reason
            )
            return self._graph(key, plain)
        if self._exact and not torch.equal(expected, got):
            _LOG.warning(
                "compiled layers must give the contract's bits, and do not on %s: exact steps of"
                " %d tokens run without being compiled",
                self._device,
                key.tokens,
            )
            return self._graph(key, plain)
        return self._graph(key, compiled)

    def _probe(self, *steps: _Step) -> None:
        """Give steps the same arbitrary input."""
        generator = torch.Generator().manual_seed(0)
        for step in steps:
            count = len(step.source)
            step.places.copy_(torch.arange(count))
            step.positions.copy_(self._within_context(torch.arange(count)))
        first = steps[0].source
        if first.dtype == torch.int64:
            drawn = torch.randint(
                self._reference.architecture.vocab_size, first.shape, generator=generator
            )
        else:
            drawn = torch.randn(first.shape, generator=generator)
        for step in steps:
            step.source.copy_(drawn)

    def _compiled(self) -> Callable[..., Tensor]:
        """Return the layer compiled: once for each shape of a step, whatever the layer."""
        if self._quick_layer is None:
            from torch._dynamo import config
            from torch._inductor import list_options

            config.recompile_limit = max(config.recompile_limit, _MOST_SHAPES)
            known = list_options()
            options: dict[str, Any] = {name: True for name in _AS_WRITTEN if name in known}
            self._quick_layer = torch.compile(
                self._reference.run_layer,
                dynamic=False,
                fullgraph=True,
                options=options if self._exact else None,
            )
        return self._quick_layer

    @contextmanager
    def _untouched(self, key: _Key) -> Iterator[None]:
        """Leave keys and values as they are, whatever the block's steps write."""
        caches = [self._caches[index] for index in key.segment.layers]
        held = [(rows, rows.clone()) for cache in caches for rows in cache.all_rows()]
        try:
            yield
        finally:
            for rows, before in held:
                rows.copy_(before)

    def _graph(self, key: _Key, step: _Step) -> _Step:
        """Return a step that replays what it did once."""
        with torch.cuda.device(self._device):
            return self._captured(key, step)

    def _captured(self, key: _Key, step: _Step) -> _Step:
        side = torch.cuda.Stream(self._device)
        side.wait_stream(torch.cuda.current_stream(self._device))
        with self._untouched(key):
            with torch.cuda.stream(side):
                for _ in range(_WARM_UP):
                    step.run()
            torch.cuda.current_stream(self._device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Keys and values may be read by another thread meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            results = step.run()

        def replay() -> tuple[Tensor, Tensor | None, Tensor | None]:
            graph.replay()
            return results

        return _Step(step.source, step.places, step.positions, step.row, replay)

    @torch.inference_mode()
    def read_kv(self, layer: int, start: int, stop: int) -> KvRows:
        """Return keys and values in the contract's format; see `Worker.read_kv`.

        They are complete, since a step's result has been waited for: on a GPU they are read beside
        the step that runs meanwhile, not behind it.
        """
        cache = self._caches[layer]
        with torch.cuda.stream(self._aside) if self._aside else nullcontext():
            if self._exact:
                names = ("keys", "key_scales", "values", "value_scales")
                return KvRows(*(cache.rows(name, start, stop).cpu().numpy() for name in names))
            parts: list[Any] = []
            for name in ("keys", "values"):
                numbers, scale = quantize_kv(cache.rows(name, start, stop).float())
                parts += [numbers.cpu().numpy(), scale[..., 0].cpu().numpy()]
            return KvRows(*parts)

    @torch.inference_mode()
    def write_kv(self, layer: int, start: int, rows: KvRows) -> None:
        """Take keys and values in the contract's format; see `Worker.write_kv`."""
        cache, stop = self._caches[layer], start + len(rows)
        if self._exact:
            given = {
                "keys": rows.k,
                "key_scales": rows.k_scale,
                "values": rows.v,
                "value_scales": rows.v_scale,
            }
        else:
            given = {
                "keys": rows.k * rows.k_scale[..., None],
                "values": rows.v * rows.v_scale[..., None],
            }
        for name, values in given.items():
            place = cache.rows(name, start, stop)
            place.copy_(torch.from_numpy(np.ascontiguousarray(values)))


def fixed_float(checkpoint: Source, device: torch.device, kind: Kind, context: int) -> FixedUnits:
    """Return what runs a model's own weights in the type that a target names."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    room = FixedUnits.room(context)
    chosen = dtype[kind.removeprefix("torch-")]
    return FixedUnits(FixedFloat(checkpoint, device, chosen, room), context)


def fixed_integer(model: QuantizedModel, device: torch.device, context: int) -> FixedUnits:
    """Return what runs a quantised model in the contract's integers."""
    return FixedUnits(FixedInteger(model, device, FixedUnits.room(context)), context)


def _weights(reference: FixedFloat | FixedInteger, index: int) -> Any:
    name = f"layers.{index}"
    return reference.unit(name) if isinstance(reference, FixedFloat) else reference.weights(name)


def _first_largest(logits: Tensor) -> Tensor:
    """Return the first of the places that hold the largest number; torch's argmax returns any."""
    if logits.device.type == "cpu":
        numbers = logits.float() if logits.dtype.itemsize < 4 else logits
        return torch.tensor(int(numbers.numpy().argmax()))
    places = torch.arange(len(logits), device=logits.device)
    return torch.where(logits == logits.amax(), places, len(logits)).amin()
