"""The regions of a model's memory, by name."""

from enum import StrEnum


class RegionName(StrEnum):
    """What an image's regions are called, in the order in which they lie in memory."""

    RESULT = "result"
    """u32: the argmax of the last row."""
    LOGITS = "logits"
    """fp32, row after row, each from a beat on, padded to whole row blocks."""
    EMBED = "embed"
    """bf16 rows, one a token id."""
    HEAD = "head"
    """Vectors and matrices of final norm and head."""
    LAYERS = "layers"
    """Vectors and matrices of each layer."""
    POSITION = "position"
    """fp32 rows, one a position: of rope's table or of learned positions."""
    IDS = "ids"
    """u32 token ids; chunk `j` of `C` tokens begins at beat `j * ceil(4 C / B)`."""
    HIDDEN = "hidden"
    """fp32 hidden states, each row from a beat on."""
    KV = "kv"
    """Keys, values and the values' scales of every layer and head."""
