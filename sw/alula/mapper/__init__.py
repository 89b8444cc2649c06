"""Placement in memory and on-chip buffers, and whether it fits."""

from alula.mapper.buffers import BufferMap, map_decode, map_prefill
from alula.mapper.fit import DoesNotFit, FitItem, FitReport, fit_report
from alula.mapper.kv import KvLayout
from alula.mapper.memory import Matrix, MemoryMap, Section, Vectors, map_memory
from alula.mapper.traffic import Traffic, traffic

__all__ = [
    "BufferMap",
    "DoesNotFit",
    "FitItem",
    "FitReport",
    "KvLayout",
    "Matrix",
    "MemoryMap",
    "Section",
    "Traffic",
    "Vectors",
    "fit_report",
    "map_decode",
    "map_memory",
    "map_prefill",
    "traffic",
]
