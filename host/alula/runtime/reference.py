"""What a model's answers are compared with."""

from alula.frontend.float_reference import FloatReference

__all__ = ["FloatReference"]
