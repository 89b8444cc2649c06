"""Mistral and Ministral."""

from alula.frontend.families.family import Family

MISTRAL = Family(models="Mistral 7B, Mistral Nemo, Mistral Small 3, Zephyr")
MINISTRAL = Family(models="Ministral 8B")
MINISTRAL3 = Family(models="Ministral 3 (text)")
