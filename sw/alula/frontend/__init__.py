"""Models in: GGUF files, Hugging Face folders and torch modules become a `Checkpoint`.

Nothing stored in a model file is executed, and everything that a header shows is checked
before a weight is read.
"""

from alula.frontend.checkpoint import Checkpoint
from alula.frontend.dispatch import load
from alula.frontend.refusal import FrontendError, Refusal, UnsupportedModel, refusal_table

__all__ = ["Checkpoint", "FrontendError", "Refusal", "UnsupportedModel", "load", "refusal_table"]
