"""What a module does with its token ids besides looking up their rows."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils import _pytree as pytree

_PASSING = frozenset(
    {
        "__get__", "clone", "contiguous", "cpu", "detach", "expand", "flatten", "int", "long",
        "reshape", "squeeze", "to", "unsqueeze", "view",
    }
)  # fmt: skip
"""Functions that give the same ids."""

_SHAPES = frozenset(
    {
        "__len__", "dim", "empty_like", "get_device", "is_contiguous", "is_floating_point",
        "ndimension", "new_empty", "new_full", "new_ones", "new_zeros", "numel", "ones_like",
        "size", "stride", "zeros_like",
    }
)  # fmt: skip
"""Functions that see the shape and the type of the ids alone."""

_LOOKUPS = (F.embedding, torch.embedding)


class _Ids(Tensor):
    """Ids, whatever their shape; every function that is called with them goes to ``seen``."""

    seen: Callable[[Any, Sequence[Any], dict[str, Any]], Any]

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", str(func))
        if name in _PASSING or (name == "__getitem__" and not pytree.tree_any(_is_ids, args[1])):
            return super().__torch_function__(func, types, args, kwargs)
        plain, keywords = pytree.tree_map_only(_Ids, _plain, (tuple(args), kwargs or {}))
        if name not in _SHAPES:
            cls.seen(func, plain, keywords)
        return func(*plain, **keywords)


def _is_ids(value: object) -> bool:
    return isinstance(value, _Ids)


def _plain(ids: _Ids) -> Tensor:
    return ids.as_subclass(Tensor)


def id_uses(run: Callable[[Tensor], object], ids: Sequence[int]) -> tuple[list[Tensor], list[str]]:
    """Runs a model and follows its ids through Python's calls of torch.

    Args:
        run: Takes ids ``[tokens]`` and does what is to be followed.
        ids: A text.

    Returns:
        The tables in which rows were looked up, and the names of all other functions that the
        values of ids went into.
    """
    tables: list[Tensor] = []
    others: list[str] = []

    def seen(function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        plain = len(args) == 2 and not any(kwargs.get(key) for key in ("max_norm", "sparse"))
        if function in _LOOKUPS and plain:
            tables.append(args[1] if function is F.embedding else args[0])
        elif function is Tensor.__getitem__ and isinstance(args[1], Tensor):
            tables.append(args[0])
        else:
            others.append(getattr(function, "__name__", str(function)).strip("_"))

    kind = type("_FollowedIds", (_Ids,), {"seen": staticmethod(seen)})
    run(torch.tensor(ids).as_subclass(kind))
    return tables, others
