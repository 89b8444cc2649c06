"""A torch model as its author runs it: what Alula's own reading of it is compared with."""

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from alula.frontend.refusal import FrontendError
from alula.frontend.rounding import difference

Visit = Callable[[Tensor], None]
"""Takes a tensor that passes between two parts of a model."""

_DTYPES = (torch.float32, torch.complex64, torch.int64, torch.bool)
_SAME = 1e-5
"""Largest difference of two runs of one module on a text: float32 sums may change their order."""


class Original(nn.Module):
    """Token ids to logits by a module that stays as it is.

    A model with a key/value cache runs without it. Of a result with several parts the logits are
    ``.logits``, ``["logits"]`` or the first.

    Args:
        module: Maps ids ``[1, tokens]`` to logits ``[1, tokens, vocabulary]``. Where it is not
            float32 on the CPU, a copy that is takes its place.
        source: Where the module comes from, for messages.
        label: What to call it: ``"module"`` or ``"transformers"``.

    Raises:
        FrontendError: The module cannot be copied.
    """

    def __init__(self, module: nn.Module, source: str, label: str = "module") -> None:
        super().__init__()
        self.label = label
        self.source = source
        self.module = _in_float32(module, source)
        self._keywords = {"use_cache": False} if _takes_use_cache(self.module) else {}

    def forward(self, ids: Tensor) -> Tensor:
        """Logits ``[1, tokens, vocabulary]`` of ids ``[1, tokens]``; FrontendError if none."""
        return _logits(self.module(ids, **self._keywords), self.source)

    @torch.no_grad()
    def logits(self, ids: Sequence[int] | Tensor) -> Tensor:
        """Logits ``[tokens, vocabulary]``, float32. FrontendError if the module fails."""
        row = torch.as_tensor(ids).unsqueeze(0)
        try:
            result = self(row)
        except FrontendError:
            raise
        except Exception as error:
            line = next(iter(str(error).strip().splitlines()), "")
            raise FrontendError(
                f"the {self.label} must run a text of {len(ids)} tokens, not fail: "
                f"{type(error).__name__}: {line} ({self.source})"
            ) from error
        if result.ndim != 3 or result.shape[:2] != row.shape:
            raise FrontendError(
                f"the {self.label} must give logits of the shape (1, {len(ids)}, vocabulary), "
                f"not {tuple(result.shape)} ({self.source})"
            )
        return result[0].float()

    def check_steady(self) -> None:
        """Runs a short text again: after another, in evaluation mode, and with the cache.

        Raises:
            FrontendError: The logits are not the same, or the module cannot be run.
        """
        text = [0, 1, 0, 0, 1]
        first = self.logits(text)
        self.logits(text[1:])
        worst = difference(self.logits(text), first).max().item()
        with self._as_called():
            cached = difference(self.logits(text), first).max().item()
        if any(part.training for part in self.module.modules()):
            with self._evaluating():
                worst = max(worst, difference(self.logits(text), first).max().item())
            if worst > _SAME:
                raise FrontendError(
                    f"the {self.label} must be in evaluation mode, not in training mode, where its "
                    f"logits differ: call .eval() ({self.source})"
                )
        if worst > _SAME:
            raise FrontendError(
                f"the {self.label} must give the same logits every time, not differ by "
                f"{worst:.2g} of their range in a second run ({self.source})"
            )
        if cached > _SAME:
            raise FrontendError(
                f"the {self.label} must give the same logits with use_cache=False, not differ by "
                f"{cached:.2g} of their range ({self.source})"
            )

    @contextmanager
    def _as_called(self) -> Iterator[None]:
        """Runs the module as one does who gives it nothing but ids."""
        keywords = self._keywords
        try:
            self._keywords = {}
            yield
        finally:
            self._keywords = keywords

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        modes = [(part, part.training) for part in self.module.modules()]
        try:
            self.module.eval()
            yield
        finally:
            for part, training in modes:
                part.training = training

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


def _in_float32(module: nn.Module, source: str) -> nn.Module:
    tensors = [*module.parameters(), *module.buffers()]
    if all(one.device.type == "cpu" and one.dtype in _DTYPES for one in tensors):
        return module
    try:
        return copy.deepcopy(module).cpu().float()
    except Exception as error:
        line = next(iter(str(error).strip().splitlines()), "")
        raise FrontendError(
            f"a module that is not float32 on the CPU must allow copy.deepcopy, not fail: "
            f"{type(error).__name__}: {line} ({source})"
        ) from error


def _takes_use_cache(module: nn.Module) -> bool:
    try:
        parameters = inspect.signature(module.forward).parameters
    except (TypeError, ValueError):
        return False
    any_keyword = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    configured = hasattr(getattr(module, "config", None), "use_cache")
    return "use_cache" in parameters or (any_keyword and configured)


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
            f"the result must be logits, or hold them as .logits or first, "
            f"not {type(result).__name__} ({source})"
        )
    return found
