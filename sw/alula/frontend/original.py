"""A torch model as its author runs it: what Alula's own reading of it is compared with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from alula.frontend.refusal import FrontendError

Visit = Callable[[Tensor], None]
"""Takes a tensor that passes between two parts of a model."""


class Original(nn.Module):
    """Token ids to logits by a module that stays as it is.

    A transformers model is called without its cache. Of a result with several parts the logits are
    ``.logits``, ``["logits"]`` or the first.

    Args:
        module: Maps ids ``[1, tokens]`` to logits ``[1, tokens, vocabulary]``; float32, on the CPU.
        label: ``"module"`` or ``"transformers"``: what people read.
        source: Where the module comes from, for messages.
    """

    def __init__(self, module: nn.Module, source: str, label: str = "module") -> None:
        super().__init__()
        self.label = label
        self.source = source
        self._module = [module]  # In a list, so that its mode and parameters remain its own.
        takes = inspect.signature(module.forward).parameters
        self._keywords = {"use_cache": False} if "use_cache" in takes else {}

    @property
    def module(self) -> nn.Module:
        """The module itself."""
        return self._module[0]

    def forward(self, ids: Tensor) -> Tensor:
        """Logits ``[1, tokens, vocabulary]`` of ids ``[1, tokens]``; FrontendError if none."""
        return _logits(self.module(ids, **self._keywords), self.source)

    @torch.no_grad()
    def logits(self, ids: Sequence[int] | Tensor) -> Tensor:
        """Logits ``[tokens, vocabulary]``, float32. FrontendError if the module fails."""
        row = torch.as_tensor(ids, dtype=torch.int64)[None]
        try:
            result = self(row)
        except FrontendError:
            raise
        except Exception as error:
            line = next(iter(str(error).strip().splitlines()), "")
            raise FrontendError(
                f"the module must run {len(ids)} tokens, not fail: "
                f"{type(error).__name__}: {line} ({self.source})"
            ) from error
        if result.ndim != 3 or result.shape[:2] != row.shape:
            raise FrontendError(
                f"logits must be of the shape (1, {len(ids)}, vocabulary), "
                f"not {tuple(result.shape)} ({self.source})"
            )
        return result[0].float()

    @contextmanager
    def watched(self, visit: Visit) -> Iterator[None]:
        """Calls ``visit`` with what goes into and comes out of every submodule."""

        def seen(submodule: nn.Module, given: Any, result: Any) -> None:
            for value in (*given, *(result if isinstance(result, tuple | list) else (result,))):
                if isinstance(value, Tensor):
                    visit(value)

        handles = [part.register_forward_hook(seen) for part in self.module.modules()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _logits(result: Any, source: str) -> Tensor:
    found = getattr(result, "logits", None)
    if found is None and isinstance(result, Mapping):
        found = result.get("logits")
    if found is None and isinstance(result, tuple | list) and len(result):
        found = result[0]
    if found is None:
        found = result
    if not isinstance(found, Tensor):
        raise FrontendError(
            f"the result must be logits or hold them as .logits or first, "
            f"not {type(result).__name__} ({source})"
        )
    return found
