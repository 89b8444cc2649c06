"""Which points are asked about next, by what is known of the others."""

from alula.explore.search.all import All
from alula.explore.search.bounds import ByBounds
from alula.explore.search.generations import Generations
from alula.explore.search.samples import Samples
from alula.explore.search.searcher import Searcher

__all__ = ["All", "ByBounds", "Generations", "Samples", "Searcher"]
