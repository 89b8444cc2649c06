"""The attention of a layer in an exported graph."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from alula.frontend.exported.branch import Branch
from alula.frontend.exported.graph import LinearNode, RecordedGraph, operation
from alula.frontend.exported.norm import NormOperation
from alula.frontend.exported.probe import Undescribed, close, noise
from alula.frontend.exported.rotation import Rotation, from_pairs, match_rotation, to_pairs

_PRODUCTS = ("matmul", "bmm", "baddbmm", "einsum")


@dataclass(frozen=True)
class _Kernel:
    """Where queries, keys and values meet."""

    nodes: tuple[Node, Node, Node]
    heads: int
    scale: float | None
    scores: Node | None


@dataclass(frozen=True)
class _Role:
    """Queries, keys or values: rows of one linear map, and its made-up result by head."""

    linear: LinearNode
    rows: Tensor
    values: Tensor


def match_attention(
    graph: RecordedGraph, unit: str, branch: Branch
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Fields of `Architecture` and tensors of an attention branch.

    Raises:
        Undescribed: It is not causal softmax attention over grouped heads, with or without rope.
    """
    unit = f"{unit}.attn"
    kernel = _kernel(graph, unit, branch.nodes)
    given = {one.output: noise(graph.value(one.output).shape) for one in branch.inputs}
    roles = _roles(graph, unit, branch, kernel, given)
    head_dim = roles[0].values.shape[-1]
    norms, rotations = _norms_and_rotations(graph, unit, kernel, roles, given, branch.norm.eps)
    rotation = rotations[0]
    queries, keys = (
        rotation.apply(role.values if norm is None else norm(role.values))
        for role, norm in zip(roles[:2], norms, strict=True)
    )
    scale = _scale(graph, unit, kernel, given, queries, keys, rotations)
    for size in (1.0, 1e-2):
        faint = {node: values * size for node, values in given.items()}
        q, k = (
            rotation.apply(role.values * size if norm is None else norm(role.values * size))
            for role, norm in zip(roles[:2], norms, strict=True)
        )
        expected = _attend(q, k, roles[2].values.double() * size, scale)
        actual = graph.evaluate(branch.output.input, faint)
        if not close(actual.reshape(graph.tokens, -1).double(), expected):
            raise Undescribed(
                unit, "attention", "causal softmax over grouped heads",
                graph.names(graph.between(given, [branch.output.input])), "plain causal attention",
            )  # fmt: skip
    tensors = {"attn.o.weight": branch.output.weight}
    if branch.output.bias is not None:
        tensors["attn.o.bias"] = branch.output.bias
    for name, role in zip(("attn.q", "attn.k", "attn.v"), roles, strict=True):
        layout = rotation.layout if name != "attn.v" else "half"
        tensors[f"{name}.weight"] = _half_split(role.linear.weight[role.rows], head_dim, layout)
        if role.linear.bias is not None:
            tensors[f"{name}.bias"] = _half_split(role.linear.bias[role.rows], head_dim, layout)
    for name, norm in zip(("attn.q_norm", "attn.k_norm"), norms, strict=True):
        if norm is not None:
            tensors[f"{name}.weight"] = _half_split(norm.weight, head_dim, rotation.layout)
    fields = {
        "heads": kernel.heads,
        "kv_heads": roles[1].values.shape[1],
        "head_dim": head_dim,
        "attention_scale": scale,
        "qk_norm": norms[0] is not None,
        "rope_inverse_frequencies": rotation.rounded() if rotation.turns else None,
    }
    return fields, tensors


def _kernel(graph: RecordedGraph, unit: str, nodes: list[Node]) -> _Kernel:
    fused = [node for node in nodes if operation(node) == "scaled_dot_product_attention"]
    softmaxes = [node for node in nodes if operation(node) in ("softmax", "_softmax")]
    if len(fused) + len(softmaxes) != 1:
        raise Undescribed(
            unit, "attention", "one softmax over all heads", len(fused) + len(softmaxes), "plain"
        )
    if fused:
        query, key, value = fused[0].all_input_nodes[:3]
        shape = graph.value(query).shape
        given = fused[0].kwargs.get("scale")
        scale = float(given) if isinstance(given, int | float) else shape[-1] ** -0.5
        heads = math.prod(shape[:-2])
        return _Kernel((query, key, value), heads, scale, None)
    softmax = softmaxes[0]
    products = {node: _factors(graph, node) for node in nodes if operation(node) in _PRODUCTS}
    before, after = graph.before([softmax]), graph.after([softmax])
    scoring = [pair for node, pair in products.items() if len(pair) == 2 and node in before]
    mixing = [pair for node, pair in products.items() if len(pair) == 2 and node in after]
    values = [node for node in (mixing[0] if mixing else ()) if node not in after]
    if not scoring or len(values) != 1:
        raise Undescribed(
            unit, "attention", "softmax(q k) v", graph.names(nodes), "scaled dot products"
        )
    heads = graph.value(softmax).numel() // graph.tokens**2
    query, key = scoring[-1]
    return _Kernel((query, key, values[0]), heads, None, softmax.all_input_nodes[0])


def _factors(graph: RecordedGraph, node: Node) -> list[Node]:
    return [item for item in node.all_input_nodes if graph.is_data(item)]


def _roles(
    graph: RecordedGraph,
    unit: str,
    branch: Branch,
    kernel: _Kernel,
    given: dict[Node, Tensor],
) -> list[_Role]:
    parts = [_source(graph, unit, branch, node, given) for node in kernel.nodes]
    counts = [len(rows) for _, rows in parts]
    head_dim = counts[0] // kernel.heads
    if not head_dim or counts[0] % kernel.heads or counts[1] % head_dim or counts[1] != counts[2]:
        raise Undescribed(
            unit, "heads", "q, k and v of one head size", f"{counts} for {kernel.heads}", "equal"
        )
    if kernel.heads % (counts[1] // head_dim):
        raise Undescribed(
            unit, "heads", "k/v heads that divide", counts[1] // head_dim, "equal groups"
        )
    return [
        _Role(one, rows, _by_role(given[one.output], rows, graph.tokens, head_dim))
        for one, rows in parts
    ]


def _by_role(values: Tensor, rows: Tensor, tokens: int, head_dim: int) -> Tensor:
    return values.reshape(tokens, -1)[:, rows].reshape(tokens, -1, head_dim)


def _source(
    graph: RecordedGraph, unit: str, branch: Branch, node: Node, given: dict[Node, Tensor]
) -> tuple[LinearNode, Tensor]:
    """The linear map, and the rows of it, that ``node`` depends on: its gradient says so."""
    leaves = {source: values.clone().requires_grad_() for source, values in given.items()}
    result = graph.evaluate(node, leaves)
    found = []
    if result.requires_grad:
        gradients = torch.autograd.grad(
            (result * noise(result.shape)).sum(), list(leaves.values()), allow_unused=True
        )
        for one, gradient in zip(branch.inputs, gradients, strict=True):
            if gradient is not None and gradient.any():
                used = gradient.reshape(-1, gradient.shape[-1]).any(0)
                found.append((one, used.nonzero()[:, 0]))
    if len(found) != 1:
        raise Undescribed(unit, "sources of q, k or v", "one linear map", len(found), "one each")
    return found[0]


def _norms_and_rotations(
    graph: RecordedGraph,
    unit: str,
    kernel: _Kernel,
    roles: list[_Role],
    given: dict[Node, Tensor],
    eps: float,
) -> tuple[list[NormOperation | None], list[Rotation]]:
    """What happens to queries and to keys between the linear maps and the scores."""
    after = [_by_head(graph, graph.evaluate(node, given)) for node in kernel.nodes[:2]]
    choices = [
        _norm_choices(graph, role, node, eps)
        for role, node in zip(roles[:2], kernel.nodes[:2], strict=True)
    ]
    for norms in zip(*choices, strict=False):
        rotations = []
        for role, result, norm in zip(roles[:2], after, norms, strict=True):
            values = role.values if norm is None else norm(role.values)
            repeats = result.shape[1] // values.shape[1]
            rotations.append(match_rotation(values.repeat_interleave(repeats, 1), result))
        query, key = rotations
        if query is not None and key is not None and query.agrees(key):
            return list(norms), [query, key]
    raise Undescribed(
        unit, "queries and keys", "rope alike on both, q/k norm before it",
        graph.names(graph.between(given, kernel.nodes[:2])), "rope",
    )  # fmt: skip


def _norm_choices(
    graph: RecordedGraph, role: _Role, node: Node, eps: float
) -> list[NormOperation | None]:
    """With a vector of the size of a head on the way, its RMSNorm; else none, or one of ones."""
    size = role.values.shape[-1]
    way = graph.between([role.linear.output], [node])
    vectors = [
        graph.value(item).reshape(-1)
        for item in graph.constants_into(way)
        if graph.value(item).numel() == size
    ]
    if vectors:
        return [NormOperation(vectors[0], None, eps)]
    return [None, NormOperation(torch.ones(size), None, eps)]


def _by_head(graph: RecordedGraph, values: Tensor) -> Tensor:
    """``[tokens, heads, head_dim]`` of queries or keys, wherever their tokens are."""
    axis = list(values.shape).index(graph.tokens) if graph.tokens in values.shape else 0
    values = values.movedim(axis, 0)
    return values.reshape(values.shape[0], -1, values.shape[-1])


def _scale(
    graph: RecordedGraph,
    unit: str,
    kernel: _Kernel,
    given: dict[Node, Tensor],
    queries: Tensor,
    keys: Tensor,
    rotations: list[Rotation],
) -> float:
    """The factor on dot products of turned queries and keys."""
    if kernel.scores is None:
        scale = float(kernel.scale or 0) * rotations[0].factor * rotations[1].factor
    else:
        scores = graph.evaluate(kernel.scores, given)
        if scores.numel() != kernel.heads * graph.tokens**2:
            raise Undescribed(
                unit, "attention", "a score for each pair of tokens", tuple(scores.shape), "plain"
            )
        scores = scores.reshape(kernel.heads, graph.tokens, graph.tokens).double().tril()
        products = _products(queries, keys).tril()
        scale = ((scores * products).sum() / products.square().sum()).item()
    usual = queries.shape[-1] ** -0.5
    return usual if math.isclose(scale, usual, rel_tol=1e-5) else float(f"{scale:.6g}")


def _products(queries: Tensor, keys: Tensor) -> Tensor:
    """Dot products ``[heads, tokens, tokens]``."""
    keys = keys.repeat_interleave(queries.shape[1] // keys.shape[1], 1)
    return torch.einsum("qhd,khd->hqk", queries, keys)


def _attend(queries: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    """Causal attention, ``[tokens, heads * head_dim]``."""
    scores = _products(queries, keys) * scale
    hidden = torch.ones_like(scores[0], dtype=torch.bool).triu(1)
    weights = scores.masked_fill(hidden, -torch.inf).softmax(-1)
    values = values.repeat_interleave(queries.shape[1] // values.shape[1], 1)
    return torch.einsum("hqk,khd->qhd", weights, values).flatten(1)


def _half_split(rows: Tensor, head_dim: int, layout: str) -> Tensor:
    """Rows of heads whose pairs lie as ``layout`` says, moved half a head apart."""
    if layout == "half":
        return rows
    heads = rows.reshape(-1, head_dim, *rows.shape[1:]).movedim(1, -1)
    order = from_pairs(to_pairs(torch.arange(head_dim, dtype=torch.float64), layout)).long()
    return heads[..., order].movedim(-1, 1).reshape(rows.shape)
