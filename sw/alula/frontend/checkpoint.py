"""A model as the rest of Alula sees it: a shape and canonical tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from alula.frontend.refusal import FrontendError
from alula.ir.architecture import Architecture
from alula.ir.attention_blocks import AttentionBlocks

if TYPE_CHECKING:
    from alula.frontend.original import Original

FloatArray = NDArray[np.float32]


class Checkpoint:
    """An architecture and its weights, read one tensor at a time.

    Names and shapes are those of `Architecture.tensors`, with ``lm_head.weight`` readable as well
    where the head is tied. Weights are ``[outputs, inputs]``, rope is the half-split form, and
    ``embed.position`` starts at position 0, whatever the source does.

    Attributes:
        source: The file or folder, ``package.module:factory``, or the class of a module.
        content_id: 64 hexadecimal digits for caches. Of a GGUF file its SHA-256; of a folder a hash
            of all bytes of config.json and of every weight file; of a module one of its weights and
            of what it was read as. Equal bytes have equal ids, wherever they are.
        tokenizer_source: The GGUF file or the folder that also holds the tokenizer; None if there
            is none.
        original: The torch module that it was read from; None if it was read from files.
        notes: What was narrowed on the way in, a sentence each, for people to read.
    """

    def __init__(
        self,
        architecture: Architecture,
        readers: Mapping[str, Callable[[], FloatArray]],
        *,
        source: Path | str,
        content_id: str,
        tokenizer_source: Path | None = None,
        notes: tuple[str, ...] = (),
        original: Original | None = None,
    ) -> None:
        self.architecture = architecture
        self.source = source
        self.content_id = content_id
        self.tokenizer_source = tokenizer_source
        self.notes = notes
        self.original = original
        self._shapes = dict(architecture.tensors())
        self._readers = dict(readers)
        if self._shapes.keys() != self._readers.keys():
            different = sorted(self._shapes.keys() ^ self._readers.keys())
            raise ValueError(f"readers must be those of the architecture; {different} differ")

    def narrowed(self, context: int, notes: tuple[str, ...]) -> Checkpoint:
        """The same for a shorter context, with further notes."""
        readers = dict(self._readers)
        if position := readers.get("embed.position"):
            readers["embed.position"] = lambda: position()[:context]
        return Checkpoint(
            replace(self.architecture, max_context=context),
            readers,
            source=self.source,
            content_id=sha256(f"{self.content_id} {context}".encode()).hexdigest(),
            tokenizer_source=self.tokenizer_source,
            notes=self.notes + notes,
            original=self.original,
        )

    def blocked(self, blocks: AttentionBlocks) -> Checkpoint:
        """The same with attention to some blocks of positions."""
        shape = replace(self.architecture, blocks=blocks)
        return Checkpoint(
            shape,
            self._readers,
            source=self.source,
            content_id=sha256(f"{self.content_id} {blocks}".encode()).hexdigest(),
            tokenizer_source=self.tokenizer_source,
            notes=self.notes,
        )

    def rewritten(self, change: Callable[[str, FloatArray], NDArray], mark: str) -> Checkpoint:
        """The same function from other weights; the head is a tensor of its own.

        Args:
            change: gives a tensor in place of that of a name.
            mark: tells it from others that are made of this one.
        """
        shape = replace(self.architecture, tied_head=False)

        def reader(name: str) -> Callable[[], FloatArray]:
            return lambda: change(name, self.tensor(name)).astype(np.float32)

        return Checkpoint(
            shape,
            {name: reader(name) for name in shape.tensors()},
            source=self.source,
            content_id=sha256(f"{self.content_id} {mark}".encode()).hexdigest(),
            tokenizer_source=self.tokenizer_source,
            notes=self.notes,
        )

    def sealed(self, original: Original) -> Checkpoint:
        """The same with its original, and weights that must stay as they are now.

        Its content id is the hash of architecture and weights. A tensor that was changed since
        raises FrontendError when it is read.
        """
        digests = {name: sha256(self.tensor(name).data).hexdigest() for name in self.names()}

        def reader(name: str) -> Callable[[], FloatArray]:
            return lambda: self._unchanged(name, digests[name])

        return Checkpoint(
            self.architecture,
            {name: reader(name) for name in digests},
            source=self.source,
            content_id=sha256(repr((self.architecture.to_json(), digests)).encode()).hexdigest(),
            tokenizer_source=self.tokenizer_source,
            notes=self.notes,
            original=original,
        )

    def _unchanged(self, name: str, digest: str) -> FloatArray:
        values = self.tensor(name)
        if sha256(values.data).hexdigest() != digest:
            raise FrontendError(
                f"{name} must be as it was when the module was loaded, not changed since: load it "
                f"again ({self.source})"
            )
        return values

    def names(self) -> tuple[str, ...]:
        """The stored tensors, in the order they are used. A tied head is not among them."""
        return tuple(self._shapes)

    def _stored(self, name: str) -> str:
        if name == "lm_head.weight" and self.architecture.tied_head:
            return "embed.weight"
        if name not in self._shapes:
            raise KeyError(f"{self.source} has no tensor {name!r}")
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, without reading it. KeyError if there is no such tensor."""
        return self._shapes[self._stored(name)]

    def tensor(self, name: str) -> FloatArray:
        """A tensor as C-contiguous float32, read and dequantised anew by every call.

        Raises:
            KeyError: There is no such tensor.
            FrontendError: The file changed or vanished, or the tensor holds NaN or infinity.
        """
        name = self._stored(name)
        try:
            values = np.ascontiguousarray(self._readers[name](), dtype=np.float32)
        except OSError as error:
            raise FrontendError(
                f"{name} must be readable, not lost: {error} ({self.source})"
            ) from error
        if values.shape != self._shapes[name]:
            raise FrontendError(
                f"{name} must have the shape {self._shapes[name]}, not {values.shape} "
                f"({self.source})"
            )
        finite = np.isfinite(values)
        if not finite.all():
            count = values.size - int(finite.sum())
            raise FrontendError(
                f"{name} must be finite, not NaN or infinite in {count} places ({self.source})"
            )
        return values

    def __repr__(self) -> str:
        shape = self.architecture
        return (
            f"<Checkpoint {self.source}: {shape.family}, {shape.layers} layers of "
            f"{shape.hidden_size}, {shape.parameters / 1e6:.1f} M parameters>"
        )
