"""Programs and memory images from quantised models."""

from alula.codegen.build import Build, compile_model
from alula.codegen.plan import ProgramPlan, attempt, fit_report, generate, plan

__all__ = ["Build", "ProgramPlan", "attempt", "compile_model", "fit_report", "generate", "plan"]
