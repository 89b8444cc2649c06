"""Programs and memory images from quantised models."""

from alula.codegen.build import Build, compile_model, generate, plan

__all__ = ["Build", "compile_model", "generate", "plan"]
