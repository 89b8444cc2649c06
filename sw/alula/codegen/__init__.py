"""Programs and memory images from quantised models."""

from alula.codegen.build import Build, compile_model
from alula.codegen.plan import Plan, attempt, fit_report, generate, plan

__all__ = ["Build", "Plan", "attempt", "compile_model", "fit_report", "generate", "plan"]
