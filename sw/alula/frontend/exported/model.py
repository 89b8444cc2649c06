"""A module as a Checkpoint: its residual stream from the embedding to the head."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from alula.frontend.checkpoint import Checkpoint, FloatArray
from alula.frontend.configuration import one_line
from alula.frontend.exported.attention import match_attention
from alula.frontend.exported.branch import linear_at, match_branch
from alula.frontend.exported.graph import RecordedGraph, operation
from alula.frontend.exported.mlp import match_mlp
from alula.frontend.exported.norm import NormOperation, match_norm
from alula.frontend.exported.probe import Undescribed
from alula.frontend.original import Original
from alula.frontend.refusal import FrontendError, Refusal, UnsupportedModel
from alula.ir.architecture import Architecture

TOKENS = (29, 7)
"""Lengths of text to export for, the second for models of short context. Primes, so that hardly any
other size of a model equals them."""

DEFAULT_CONTEXT = 2048
"""Tokens of context where the module says nothing about it."""

_WEIGHTED = ("linear", "matmul", "mm", "addmm", "embedding")
"""Operations whose tables are weights, which say nothing of positions."""

_CONTEXT_NAMES = (
    "max_position_embeddings",
    "max_seq_len",
    "max_context",
    "context_length",
    "block_size",
    "n_positions",
)


def load_module(original: Original) -> Checkpoint:
    """A module by what its graph does with a short text.

    Its context comes from its position tables, else from an attribute such as ``max_seq_len`` of
    the module or of its ``config``, else it is `DEFAULT_CONTEXT` and ``Checkpoint.notes`` says so.
    What a module does only beyond 29 tokens is not seen here.

    Raises:
        FrontendError: torch.export cannot export the module.
        UnsupportedModel: A part of it is not of the supported shape.
    """
    module, source = original.module, original.source
    graph = _record(original)
    try:
        architecture, weights, notes = _Model(graph).checkpoint(module)
    except Undescribed as mismatch:
        raise UnsupportedModel(source, [mismatch.refusal]) from None
    except Exception as error:
        # Parts of a graph are run on inputs, and taken for shapes, that they are not made for.
        found = f"{type(error).__name__}: {one_line(error)}"
        refusal = Refusal("model", "operations", "those of a plain model", found, "a plain model")
        raise UnsupportedModel(source, [refusal]) from error
    arrays: dict[str, FloatArray] = {
        name: weights[name].detach().float().contiguous().numpy() for name in architecture.tensors()
    }
    digest = sha256(repr(architecture.to_json()).encode())
    for array in arrays.values():
        digest.update(array.data)

    def reader(name: str) -> Any:
        return lambda: arrays[name]

    return Checkpoint(
        architecture,
        {name: reader(name) for name in arrays},
        source=source,
        content_id=digest.hexdigest(),
        notes=notes,
    )


def _record(original: Original) -> RecordedGraph:
    failure: Exception | None = None
    for tokens in TOKENS:
        try:
            return RecordedGraph(original, tokens)
        except Exception as error:
            failure = failure or error
    line = next(iter(str(failure).strip().splitlines()), "")
    raise FrontendError(
        f"{original.source} must go through torch.export, not fail: "
        f"{type(failure).__name__}: {line}"
    ) from failure


@dataclass
class _Model:
    graph: RecordedGraph

    def checkpoint(
        self, module: nn.Module
    ) -> tuple[Architecture, dict[str, Tensor], tuple[str, ...]]:
        stream, embedding, positions = self._embedding()
        streams, branches = self._residuals(stream)
        head, final = self._head(streams[-1])
        tensors = {"embed.weight": embedding, "lm_head.weight": head}
        tensors |= final.tensors("final_norm")
        shapes = []
        for index in range(len(branches) // 2):
            at = 2 * index
            shape, found = self._layer(
                f"layers.{index}", streams[at : at + 2], branches[at : at + 2]
            )
            tensors |= {f"layers.{index}.{name}": tensor for name, tensor in found.items()}
            shapes.append(shape)
        shape = _common([*shapes, shapes[0] | {"norm": final.kind, "norm_eps": final.eps}])
        turned = shape["rope_inverse_frequencies"] is not None
        if turned is (positions is not None):
            actual = "both" if turned else "neither"
            raise Undescribed("model", "positions", "rope or learned", actual, "one of them")
        notes: tuple[str, ...] = ()
        if positions is None:
            context, notes = self._context(module)
        else:
            tensors["embed.position"] = positions
            context = len(positions)
        architecture = Architecture(
            family="module",
            vocab_size=embedding.shape[0],
            hidden_size=embedding.shape[1],
            layers=len(shapes),
            max_context=context,
            position="rope" if turned else "learned",
            tied_head=torch.equal(head, embedding),
            **shape,
        )
        return architecture, tensors, notes

    def _embedding(self) -> tuple[Node, Tensor, Tensor | None]:
        """The start of the residual stream, the embedding, and the table of learned positions."""
        graph = self.graph
        nodes = [n for n in graph.nodes if operation(n) == "embedding" and graph.is_data(n)]
        if len(nodes) != 1:
            raise Undescribed("embed", "embeddings of the ids", "one", len(nodes), "one embedding")
        table, ids = nodes[0].args[:2]
        if (
            not isinstance(table, Node)
            or not isinstance(ids, Node)
            or graph.strip(ids) is not graph.ids
        ):
            raise Undescribed("embed", "what is embedded", "the ids as they are", ids, "the ids")
        for reader in graph.readers(nodes[0]):
            others = [item for item in reader.all_input_nodes if graph.is_constant(item)]
            if operation(reader) == "add" and others:
                return reader, graph.value(table), self._position_table(others[0])
        return nodes[0], graph.value(table), None

    def _position_table(self, added: Node) -> Tensor:
        """The rows, from position 0 on, of the table that ``added`` is the first rows of."""
        rows = self.graph.value(added)
        rows = rows.reshape(-1, rows.shape[-1])
        for table in self.graph.stored_behind([added]):
            if table.ndim < 2 or table.shape[-1] != rows.shape[1]:
                continue
            table = table.reshape(-1, table.shape[-1])
            for offset in range(len(table) - len(rows) + 1):
                if torch.equal(table[offset : offset + len(rows)], rows):
                    return table[offset:]
        raise Undescribed(
            "embed", "added to the embedding", "a row a position", "other", "learned rows"
        )

    def _residuals(self, stream: Node) -> tuple[list[Node], list[Node]]:
        """The values of the residual stream, and the branch added to each but the last."""
        streams, branches = [stream], []
        while (found := self._residual(streams[-1])) is not None:
            streams.append(found[0])
            branches.append(found[1])
        if not branches or len(branches) % 2:
            raise Undescribed(
                "model", "residual branches", "attention and MLP in turn", len(branches), "pairs"
            )
        return streams, branches

    def _residual(self, stream: Node) -> tuple[Node, Node] | None:
        below = self.graph.after([stream])
        for reader in self.graph.readers(stream):
            others = [
                item
                for item in reader.all_input_nodes
                if item in below and self.graph.strip(item) is not stream
            ]
            plain = operation(reader) == "add" and reader.kwargs.get("alpha", 1) == 1
            if plain and len(others) == 1:
                return reader, others[0]
        return None

    def _head(self, stream: Node) -> tuple[Tensor, NormOperation]:
        graph = self.graph
        linear = linear_at(graph, graph.output)
        shape = tuple(graph.value(graph.output).shape)
        if linear is None or shape != (1, graph.tokens, len(linear.weight)):
            wanted = f"(1, {graph.tokens}, vocabulary) by a linear map"
            actual = f"{shape} by {graph.names([graph.strip(graph.output)])}"
            raise Undescribed("head", "the first result", wanted, actual, "logits of every token")
        if linear.bias is not None:
            raise Undescribed("head", "bias", "none", "a bias", "a head without bias")
        return linear.weight, match_norm(graph, "head", stream, graph.strip(linear.input))

    def _layer(
        self, unit: str, streams: list[Node], branches: list[Node]
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        attention, mlp = (
            match_branch(self.graph, unit, *ends) for ends in zip(streams, branches, strict=True)
        )
        shape, tensors = match_attention(self.graph, unit, attention)
        mlp_shape, mlp_tensors = match_mlp(self.graph, unit, mlp)
        biased = [name for name in (*tensors, *mlp_tensors) if name.endswith(".bias")]
        shape |= mlp_shape | {
            "norm": attention.norm.kind,
            "norm_eps": attention.norm.eps,
            "biases": frozenset(name.removesuffix(".bias") for name in biased),
        }
        same_kind = mlp.norm.kind == attention.norm.kind
        if not same_kind or not _agree(mlp.norm.eps, attention.norm.eps):
            raise Undescribed(
                unit, "norms that differ", "one kind and eps", mlp.norm.eps, "equal norms"
            )
        tensors |= mlp_tensors | attention.norm.tensors("attn_norm") | mlp.norm.tensors("mlp_norm")
        return shape, tensors

    def _context(self, module: nn.Module) -> tuple[int, tuple[str, ...]]:
        graph = self.graph
        places = [node for node in graph.nodes if operation(node) not in _WEIGHTED]
        tables = graph.buffers_behind(graph.constants_into(places))
        lengths = [max(table.shape[:-1]) for table in tables if table.ndim > 1]
        lengths = [length for length in lengths if length >= graph.tokens]
        if lengths:
            return min(lengths), ()
        for place in (module, getattr(module, "config", None)):
            for name in _CONTEXT_NAMES:
                value = getattr(place, name, None)
                if type(value) is int and value > 0:
                    return value, ()
        return DEFAULT_CONTEXT, (f"context taken as {DEFAULT_CONTEXT}: the module names none",)


def _common(shapes: list[dict[str, Any]]) -> dict[str, Any]:
    """What every layer says, or a Undescribed that names the field that differs."""
    for index, shape in enumerate(shapes):
        for key, value in shape.items():
            if not _agree(value, shapes[0][key]):
                raise Undescribed(
                    f"layers.{index}" if index < len(shapes) - 1 else "head",
                    f"{key} that differs",
                    str(shapes[0][key]),
                    value,
                    "equal layers",
                )
    return shapes[0]


def _agree(first: Any, second: Any) -> bool:
    """Whether two fields are the same, as far as they can be measured."""
    if isinstance(first, float) and isinstance(second, float):
        return abs(first - second) <= 1e-14
    if isinstance(first, tuple) and isinstance(second, tuple):
        return len(first) == len(second) and all(
            abs(a - b) <= 1e-7 for a, b in zip(first, second, strict=True)
        )
    return first == second
