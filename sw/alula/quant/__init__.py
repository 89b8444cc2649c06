"""Float tensors to the contract's formats and their place in beats.

The integer reference, `alula.quant.reference.IntegerReference`, is imported by its own name: it
needs torch, and nothing here does.
"""

from alula.quant.kv_packing import get_rows, put_rows
from alula.quant.matrix import QuantizedMatrix, quantize
from alula.quant.model import QuantizedModel
from alula.quant.packing import pack, unpack
from alula.quant.padded import padded

__all__ = [
    "QuantizedMatrix",
    "QuantizedModel",
    "get_rows",
    "pack",
    "padded",
    "put_rows",
    "quantize",
    "unpack",
]
