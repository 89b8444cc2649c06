"""Compression of a dense model: codes that keep what each matrix puts out on a text."""

from alula.compress.model import CompressedModel, compress

__all__ = ["CompressedModel", "compress"]
