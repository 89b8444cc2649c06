"""What the host says to a run of a model's program, prefill and decode alike."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class RunInputs:
    """The inputs of both programs of a model.

    Attributes:
        position: Tokens that are in the KV cache already.
        tokens: Tokens to process; decode: 1.
        embed: Start from token ids in region `IDS`, otherwise from hidden states in
            `HIDDEN` (`RegionName`).
        first_layer, layers: The first layer to run, and how many.
        head_rows: How many of the last rows go through final norm and head; in prefill at most the
            last chunk's.
        logits: Store the logits of these rows in region `LOGITS`.
        hidden_out: Store the hidden states of all tokens in region `HIDDEN`.
    """

    position: int
    tokens: int
    embed: bool = True
    first_layer: int = 0
    layers: int
    head_rows: int = 1
    logits: bool = False
    hidden_out: bool = False

    def registers(self) -> dict[str, int]:
        """The values by name, as `Machine.run` and devices take them."""
        return {name: int(getattr(self, name)) for name in INPUTS}


INPUTS = tuple(field.name for field in fields(RunInputs))
"""The registers that the host sets, r1 onwards."""
