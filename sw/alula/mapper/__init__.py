"""Placement in memory and on-chip buffers, and whether it fits."""

from alula.mapper.buffers import BufferMap, map_decode, map_prefill
from alula.mapper.kv import KvLayout
from alula.mapper.memory import (
    LayerRun,
    MemoryMap,
    Section,
    StoredBand,
    StoredMatrix,
    Vectors,
    map_memory,
)
from alula.mapper.placement import ModelPlacement, place
from alula.mapper.report import DoesNotFit, FitItem, FitReport, Lever
from alula.mapper.traffic import Traffic, traffic

__all__ = [
    "BufferMap",
    "DoesNotFit",
    "FitItem",
    "FitReport",
    "KvLayout",
    "LayerRun",
    "Lever",
    "MemoryMap",
    "ModelPlacement",
    "Section",
    "StoredBand",
    "StoredMatrix",
    "Traffic",
    "Vectors",
    "map_decode",
    "map_memory",
    "map_prefill",
    "place",
    "traffic",
]
