"""A module's exported graph with what each node computed, open to questions about its parts.

Static shapes make everything that does not depend on the token ids a constant: weights, however
they are derived from parameters, rope tables and masks. What is left is the path of the data.
"""

import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.export.graph_signature import InputKind
from torch.fx import Interpreter, Node
from torch.utils import _pytree as pytree

# Give the same elements as their first argument, if they give as many.
_SAME = frozenset(
    {
        "alias", "clone", "contiguous", "detach", "dropout", "expand", "flatten", "permute",
        "reshape", "squeeze", "to", "_to_copy", "transpose", "type_as", "unflatten", "unsqueeze",
        "_unsafe_view", "view",
    }
)  # fmt: skip


@dataclass(frozen=True)
class LinearNode:
    """``output = input @ weight.T + bias``, the last two constants of the graph.

    ``weight`` is ``[outputs, inputs]``; ``output`` is the node with the bias added.
    """

    input: Node
    output: Node
    weight: Tensor
    bias: Tensor | None


def operation(node: Node) -> str:
    """The name of the ATen operation a node calls, without its overload; "" for other nodes."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return ""
    return node.target.overloadpacket.__name__


def _mutates(node: Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _wraps(node: Node) -> bool:
    """Whether a node calls a graph of its own, as a part under ``torch.no_grad`` does."""
    return isinstance(node.target, torch._ops.HigherOrderOperator)


class RecordedGraph:
    """The graph of ``module(ids)`` for ids ``[1, tokens]``, run once.

    Args:
        module: Float32, on the CPU.
        tokens: How many tokens the shapes are for.

    Attributes:
        tokens: As given.
        ids: The node of the token ids.
        output: The node of the result, the first if there are several.
        nodes: Every node in order.

    Raises whatever torch.export and the module raise.
    """

    def __init__(self, module: nn.Module, tokens: int) -> None:
        self.tokens = tokens
        example = torch.zeros((1, tokens), dtype=torch.int64)
        with warnings.catch_warnings(action="ignore"), _quiet():
            program = torch.export.export(module, (example,), strict=False)
            if any(_mutates(node) or _wraps(node) for node in program.graph.nodes):
                program = program.run_decompositions({})
        stored = {**program.state_dict, **program.constants}
        inputs: list[Any] = []
        placeholders = [node for node in program.graph.nodes if node.op == "placeholder"]
        self._stored: dict[Node, Tensor] = {}
        self._buffers: set[Node] = set()
        for node, spec in zip(placeholders, program.graph_signature.input_specs, strict=True):
            if spec.kind is InputKind.USER_INPUT:
                self.ids = node
                inputs.append(example)
            else:
                inputs.append(stored[str(spec.target)])
                if isinstance(inputs[-1], Tensor):
                    self._stored[node] = inputs[-1]
                    if spec.kind is not InputKind.PARAMETER:
                        self._buffers.add(node)
        self.nodes: list[Node] = list(program.graph.nodes)
        results = program.graph_signature.user_outputs
        self.output = next(node for node in self.nodes if node.name in results)
        self._values: dict[Node, Any] = {}
        with torch.no_grad():
            _Recorder(program.graph_module, self._values).run(*inputs)
        self._data = self.after([self.ids])

    def value(self, node: Node) -> Any:
        """What the node gave when the graph was recorded, every token id 0."""
        return self._values[node]

    def is_data(self, item: object) -> bool:
        """Whether an argument depends on the token ids."""
        return isinstance(item, Node) and item in self._data

    def is_constant(self, item: object) -> bool:
        """Whether an argument is a tensor that does not depend on the token ids."""
        return isinstance(item, Node) and item not in self._data and self._tensor(item)

    def _tensor(self, node: Node) -> bool:
        return isinstance(self._values.get(node), Tensor)

    def after(self, starts: Iterable[Node]) -> set[Node]:
        """The nodes that depend on any of ``starts``, themselves included."""
        found = set(starts)
        for node in self.nodes:
            if any(argument in found for argument in node.all_input_nodes):
                found.add(node)
        return found

    def before(self, ends: Iterable[Node]) -> set[Node]:
        """The nodes that any of ``ends`` depends on, themselves included."""
        found = set(ends)
        for node in reversed(self.nodes):
            if node in found:
                found.update(node.all_input_nodes)
        return found

    def between(self, starts: Iterable[Node], ends: Iterable[Node]) -> list[Node]:
        """The nodes on the paths from ``starts`` to ``ends`` in order, without ``starts``."""
        starts = set(starts)
        inside = self.after(starts) & self.before(ends)
        return [node for node in self.nodes if node in inside and node not in starts]

    def constants_into(self, nodes: Iterable[Node]) -> list[Node]:
        """The constant tensors that are direct arguments of data among ``nodes``."""
        found: dict[Node, None] = {}
        for node in nodes:
            found.update(dict.fromkeys(filter(self.is_constant, node.all_input_nodes)))
        return list(found)

    def buffers_behind(self, nodes: Iterable[Node]) -> list[Tensor]:
        """The buffers that any of ``nodes`` depends on."""
        return [self._stored[node] for node in self.before(nodes) & self._buffers]

    def stored_behind(self, nodes: Iterable[Node]) -> list[Tensor]:
        """The parameters and buffers that any of ``nodes`` depends on."""
        return [self._stored[node] for node in self.before(nodes) & self._stored.keys()]

    def names(self, nodes: Iterable[Node]) -> str:
        """The operations of nodes, for messages."""
        names = dict.fromkeys(filter(None, map(operation, nodes)))
        return ", ".join(list(names)[:6]) or "nothing"

    def strip(self, node: Node) -> Node:
        """The node whose elements this one passes on, past views, casts and dropout."""
        while operation(node) in _SAME and self._same_size(node):
            node = node.all_input_nodes[0]
        return node

    def _same_size(self, node: Node) -> bool:
        before = node.args[0]
        return isinstance(before, Node) and self.value(node).numel() == self.value(before).numel()

    def readers(self, node: Node) -> list[Node]:
        """The nodes that use a node's elements, past views, casts and dropout."""
        found = []
        for user in node.users:
            passes = operation(user) in _SAME and user.args[0] is node and self._same_size(user)
            found += self.readers(user) if passes else [user]
        return found

    def evaluate(self, node: Node, given: Mapping[Node, Tensor]) -> Any:
        """What the node gives if the nodes in ``given`` gave those values instead."""
        values: dict[Node, Any] = dict(given)
        for step in self.between(given, [node]):
            arguments = pytree.tree_map_only(
                Node, lambda n: values.get(n, self._values.get(n)), (step.args, step.kwargs)
            )
            values[step] = cast("Any", step.target)(*arguments[0], **arguments[1])
        return values[node]

    def linears(self, nodes: Iterable[Node]) -> list[LinearNode]:
        """The linear maps among ``nodes``, in order."""
        return [linear for node in nodes if (linear := self._linear(node)) is not None]

    def _linear(self, node: Node) -> LinearNode | None:
        name, args = operation(node), cast("list[Any]", list(node.args))
        if name == "linear" and self.is_data(args[0]) and self.is_constant(args[1]):
            bias = self.value(args[2]) if len(args) > 2 and args[2] is not None else None
            return self._with_bias(node, args[0], self.value(args[1]), bias)
        if name in ("matmul", "mm") and self.is_data(args[0]) and self._matrix(args[1]):
            return self._with_bias(node, args[0], self.value(args[1]).T, None)
        if name == "addmm" and self.is_data(args[1]) and self._matrix(args[2]):
            return LinearNode(args[1], node, self.value(args[2]).T, self.value(args[0]))
        return None

    def _matrix(self, item: object) -> bool:
        return isinstance(item, Node) and self.is_constant(item) and self.value(item).ndim == 2

    def _with_bias(
        self, node: Node, source: Node, weight: Tensor, bias: Tensor | None
    ) -> LinearNode:
        readers = self.readers(node)
        if bias is None and len(readers) == 1 and operation(readers[0]) == "add":
            constants = [item for item in readers[0].all_input_nodes if self.is_constant(item)]
            if constants and self.value(constants[0]).shape == weight.shape[:1]:
                return LinearNode(source, readers[0], weight, self.value(constants[0]))
        return LinearNode(source, node, weight, bias)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps torch from telling the graph of a module that cannot be exported."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            yield
    finally:
        logging.disable(before)


class _Recorder(Interpreter):
    def __init__(self, module: torch.fx.GraphModule, values: dict[Node, Any]) -> None:
        super().__init__(module, garbage_collect_values=False)
        self._record = values

    def run_node(self, n: Node) -> Any:
        self._record[n] = super().run_node(n)
        return self._record[n]
