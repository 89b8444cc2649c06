"""Design spaces: which designs are worth building for a model, and why."""

from alula.explore.row import Row
from alula.explore.run import Found, sweep
from alula.explore.sweep_file import Sweep, load_sweep

__all__ = ["Found", "Row", "Sweep", "load_sweep", "sweep"]
