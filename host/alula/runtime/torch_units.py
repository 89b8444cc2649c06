"""Segments on torch, CPU or CUDA: integer-exact or in fp32."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch

from alula.frontend.float_reference import FloatReference
from alula.ir import Architecture, AttentionBlocks
from alula.ir.attention_blocks import BLOCK
from alula.quant.integers import quantize_kv
from alula.quant.reference import IntegerReference
from alula.runtime.errors import DeviceError
from alula.runtime.split import Segment
from alula.runtime.worker import KvRows, Output, Work


def torch_device(name: str) -> torch.device:
    """Return a device of torch. DeviceError if this machine or this torch lacks it."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DeviceError(
            f"torch's device must be one of this machine, not {name}: {reason}"
        ) from None
    return device


def device_name(name: str) -> str:
    """Return what the maker calls a CUDA device, and its memory."""
    found = torch.cuda.get_device_properties(torch.device(name))
    return f"{found.name} {found.total_memory >> 30} GiB, CUDA {torch.version.cuda}"


class _Reference(Protocol):
    """What both references have."""

    architecture: Architecture
    device: torch.device

    def cache(self) -> Sequence[Any]: ...
    def embed(self, ids: Any, positions: Any) -> torch.Tensor: ...
    def layer(
        self, index: int, hidden: torch.Tensor, positions: Any, cache: Any
    ) -> torch.Tensor: ...
    def head(self, hidden: torch.Tensor) -> torch.Tensor: ...


class _TorchUnits:
    """Runs segments on a reference, whose caches it keeps."""

    shared = True

    def __init__(self, reference: _Reference) -> None:
        self._reference = reference
        self._caches = reference.cache()

    @torch.inference_mode()
    def run(self, segment: Segment, work: Work) -> Output:
        """Run a segment; see `Worker.run`."""
        device = self._reference.device
        position, source = work.position, work.source
        positions = torch.arange(position, position + len(source), device=device)
        if segment.embed:
            ids = torch.from_numpy(source.astype(np.int64))
            hidden = self._reference.embed(ids.to(device), positions)
        else:
            hidden = torch.from_numpy(source).to(device)
        for index in segment.layers:
            cache = self._caches[index]
            if cache.length > position:
                cache.truncate(position)
            hidden = self._reference.layer(index, hidden, positions, cache)
            work.on_layer(index)
        if not segment.head:
            return Output(hidden=hidden.cpu().numpy())
        scores = self._reference.head(hidden[len(hidden) - work.rows :]).cpu().numpy()
        return Output(token=int(np.argmax(scores[-1])), logits=scores if work.logits else None)


class IntegerUnits(_TorchUnits):
    """Runs segments with the contract's integers: bit for bit what the accelerator gives.

    Args:
        reference: the quantised model.
    """

    def __init__(self, reference: IntegerReference) -> None:
        super().__init__(reference)

    def read_kv(self, layer: int, start: int, stop: int) -> KvRows:
        """Return keys and values; see `Worker.read_kv`.

        What no token from the last of these on attends to is zeros, as the accelerator has it.
        """
        cache, part = self._caches[layer], slice(start, stop)
        parts = (cache.keys, cache.key_scales, cache.values, cache.value_scales)
        rows = KvRows(*(values[part].cpu().numpy() for values in parts))
        blocks = self._reference.architecture.blocks
        return rows if blocks is None else _lasting(rows, blocks, start)

    @torch.inference_mode()
    def write_kv(self, layer: int, start: int, rows: KvRows) -> None:
        """Take keys and values; see `Worker.write_kv`."""
        cache, device = self._caches[layer], self._reference.device
        cache.truncate(start)
        parts = (rows.k, rows.k_scale, rows.v, rows.v_scale)
        cache.append(*(torch.from_numpy(np.ascontiguousarray(part)).to(device) for part in parts))


def _lasting(rows: KvRows, blocks: AttentionBlocks, start: int) -> KvRows:
    """Rows of tokens from `start` on without what is read no more behind the last."""
    last = start + len(rows) - 1
    kept = np.array(
        [
            [blocks.lasts(head, position // BLOCK, last) for head in range(rows.k.shape[1])]
            for position in range(start, last + 1)
        ]
    )
    return KvRows(
        *(
            np.where(kept[..., None], values, np.int8(0))
            if values.ndim > 2
            else np.where(kept, values, np.float32(0))
            for values in (rows.k, rows.k_scale, rows.v, rows.v_scale)
        )
    )


class FloatUnits(_TorchUnits):
    """Runs segments in fp32 on the unquantised weights; KV crosses in the contract's format.

    Args:
        reference: the model as its file has it.
    """

    def __init__(self, reference: FloatReference) -> None:
        super().__init__(reference)

    def read_kv(self, layer: int, start: int, stop: int) -> KvRows:
        """Return keys and values, quantised; see `Worker.read_kv`."""
        cache = self._caches[layer]
        k, k_scale = quantize_kv(cache.keys[start:stop])
        v, v_scale = quantize_kv(cache.values[start:stop])
        parts = (k, k_scale[..., 0], v, v_scale[..., 0])
        return KvRows(*(part.cpu().numpy() for part in parts))

    @torch.inference_mode()
    def write_kv(self, layer: int, start: int, rows: KvRows) -> None:
        """Take keys and values, dequantised; see `Worker.write_kv`."""
        cache, device = self._caches[layer], self._reference.device
        cache.truncate(start)
        pairs = ((rows.k, rows.k_scale), (rows.v, rows.v_scale))
        cache.append(
            *(torch.from_numpy(number * scale[..., None]).to(device) for number, scale in pairs)
        )
