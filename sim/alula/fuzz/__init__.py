"""Random legal programs on the gateware and on the machine model, which must agree."""

from alula.fuzz.campaign import Campaign, Failure, Findings, replay
from alula.fuzz.generator import Case, random_case

__all__ = ["Campaign", "Case", "Failure", "Findings", "random_case", "replay"]
