"""What an instruction's declared effects forbid, as one Python function of each instruction.

`alula.isa.effects` says what operands must be and which ranges must exist. That is looked at each
time before an instruction is executed, so it is compiled: once for each instruction, its choices,
which a program fixes, and a machine's sizes.
"""

import ast
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from alula.isa import Instruction, Op
from alula.isa.effects import BOUNDS, Apart, Error, Limit, Range
from alula.isa.fields import Choice
from alula.isa.formula import FUNCTIONS, numbers
from alula.model.errors import OutOfRange, UndefinedBehaviour, Unimplemented, Unsupported
from alula.model.handlers import HANDLERS

_KINDS = {
    Error.UNDEFINED: UndefinedBehaviour,
    Error.UNSUPPORTED: Unsupported,
    Error.UNIMPLEMENTED: Unimplemented,
    Error.OUT_OF_RANGE: OutOfRange,
}
_NAMES = {"abs": abs} | {kind.__name__: kind for kind in _KINDS.values()}


class Checks:
    """Handlers that look at what their instructions declare before they execute.

    `known`: the machine's sizes, as `alula.isa.effects.sizes` names them.
    """

    def __init__(self, known: Mapping[str, int]) -> None:
        self._sizes = dict(known)
        self._known: dict[tuple[Any, ...], Callable[..., None]] = {}

    def handler(self, op: Op) -> Callable[..., None]:
        """As in `HANDLERS`. Raises MachineError for what the declaration forbids."""
        choices = {
            field.name: op.values[field.name]
            for field in op.instruction.fields
            if isinstance(field, Choice)
        }
        key = (op.name, *choices.values())
        if key not in self._known:
            self._known[key] = self._compiled(op.instruction, choices)
        return self._known[key]

    def _compiled(self, instruction: Instruction, choices: dict[str, Any]) -> Callable[..., None]:
        handler = HANDLERS[instruction.name]
        lines = [f"    {line}" for line in _lines(instruction)]
        if not lines:
            return handler
        try:
            known = numbers(choices)
        except KeyError:
            return handler  # which refuses the format
        fields = [field.name for field in instruction.fields]
        parameters = [f"{name}_" if name in choices else name for name in fields]
        head = f"def checked(state, {', '.join(parameters)}):"
        tail = f"    execute(state, {', '.join(parameters)})"
        names: dict[str, Any] = FUNCTIONS | _NAMES | self._sizes | known | {"execute": handler}
        for name in {"beats", "index_beats", "W8"} & names.keys():
            names[name] = lru_cache(maxsize=4096)(names[name])
        tree = _Inlined().visit(ast.parse("\n".join([head, *lines, tail])))
        exec(compile(ast.fix_missing_locations(tree), "checks", "exec"), names)
        return names["checked"]


class _Inlined(ast.NodeTransformer):
    """Operators instead of calls of `ceil` and `where`."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Name("ceil"), args=[above, below]):
                negative = ast.UnaryOp(ast.USub(), above)
                return ast.UnaryOp(ast.USub(), ast.BinOp(negative, ast.FloorDiv(), below))
            case ast.Call(func=ast.Name("where"), args=[condition, this, other]):
                return ast.IfExp(condition, this, other)
        return node


def _lines(instruction: Instruction) -> Iterator[str]:
    """The body of the function that checks an instruction."""
    effects = instruction.effects
    for limit in effects.limits:
        yield _limit(instruction.name, limit)
    ranges = dict.fromkeys(
        one for one in (*effects.reads, *effects.writes) if one.space in BOUNDS
    )  # each once: what is read and written is one range
    if ranges and instruction.counts:
        yield f"if not ({' and '.join(instruction.counts)}): return"
    for one in ranges:
        yield _range(instruction.name, one)
    for apart in effects.apart:
        yield _apart(instruction, apart)


def _raise(condition: str, error: Error, text: str) -> str:
    return f"if {condition}: raise {_KINDS[error].__name__}(f{text!r})"


def _limit(name: str, limit: Limit) -> str:
    condition = f"({limit.broken})"
    if limit.when:
        condition = f"{limit.when} and {condition}"
    text = f"{name} {limit.label} must be {limit.words('{{{}}}')}, not {{{limit.value}}}"
    return _raise(condition, limit.error, text)


def _range(name: str, one: Range) -> str:
    first, places, limit = one.first, one.places, one.limit
    condition = f"{first} + {places} > {limit} and {one.count} > 0"
    text = f"{name} {first} must be within {{{limit}}} {BOUNDS[one.space]}, "
    text += f"not {{{first}}}..{{{first} + {places} - 1}}"
    return _raise(condition, Error.OUT_OF_RANGE, text)


def _apart(instruction: Instruction, apart: Apart) -> str:
    """The two are compared as ranges of as many words as are written."""
    dst, source = apart.first, apart.source
    words = instruction.effects.written(dst).places
    condition = f"{dst} != {source} and abs({dst} - {source}) < {words}"
    if apart.when:
        condition = f"{apart.when} and {condition}"
    text = f"{instruction.name} {dst} must be {source} or {{{words}}} words away, "
    return _raise(condition, Error.UNDEFINED, f"{text}not {{abs({dst} - {source})}}")
