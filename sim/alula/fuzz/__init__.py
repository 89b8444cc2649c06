"""Random legal programs on the gateware and on the machine model, which must agree."""

from alula.fuzz.campaign import Campaign, Failure, Findings, replay
from alula.fuzz.generator import FuzzCase, random_case

__all__ = ["Campaign", "Failure", "Findings", "FuzzCase", "random_case", "replay"]
