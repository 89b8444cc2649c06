"""What a sweep found, to look at: tables, figures, one page."""

from alula.explore.report.saving import save

__all__ = ["save"]
