"""Random legal programs on the gateware and on the machine model, which must agree."""

from alula.fuzz.campaign import Campaign, Failure, Result, replay
from alula.fuzz.generator import Case, random_case

__all__ = ["Campaign", "Case", "Failure", "Result", "random_case", "replay"]
