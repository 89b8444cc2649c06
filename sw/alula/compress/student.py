"""A float model that can be trained."""

from collections.abc import Mapping

import torch
from torch import Tensor

from alula.frontend.float_reference import FloatReference
from alula.quant.source import Source


class Student(FloatReference):
    """A float model of which some tensors take gradients. Windows start at position 0.

    Args:
        checkpoint: everything else.
        trained: by the name of the tensor, as the model reads it.
        device: where it runs.
    """

    label = "the compressed model"

    def __init__(
        self, checkpoint: Source, trained: Mapping[str, Tensor], device: torch.device
    ) -> None:
        super().__init__(checkpoint, device)
        self._trained = trained
        if device.type == "cuda":
            # What lies between two products of matrices becomes one kernel.
            self.run_layer = torch.compile(self.run_layer)

    def unit(self, name: str) -> dict[str, Tensor]:
        """A unit's tensors, those that are trained among them."""
        if name not in self._weights:
            found = super().unit(name)
            prefix = f"{name}." if name.startswith("layers.") else ""
            found |= {
                tensor: self._trained[prefix + tensor]
                for tensor in found
                if prefix + tensor in self._trained
            }
        return self._weights[name]

    def text(self, windows: Tensor) -> Tensor:
        """The last layer's output for ids ``[windows, tokens]``, ``[windows * tokens, hidden]``."""
        positions = torch.arange(windows.shape[1], device=self.device)
        embedded = self.unit("embed")
        hidden = embedded["embed.weight"][windows]
        if self.architecture.position == "learned":
            hidden = hidden + embedded["embed.position"][positions]
        for index in range(self.architecture.layers):
            hidden = self.layer(index, hidden, positions)
        return hidden.flatten(0, 1)

    def _integers(self, name: str, values: object, limit: int) -> Tensor:
        assert isinstance(values, Tensor), f"{name} below {limit}"
        return values

    def _rope(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        if self._rope_table is None:
            angles = self._angles(len(positions))
            self._rope_table = (angles.cos().float(), angles.sin().float())
        cosine, sine = self._rope_table
        return cosine[:, None], sine[:, None]
