"""Patterns made by hand, plainly miliary unless changed."""

from dataclasses import replace
from typing import Any

from records.model import Estimate, Pattern, Side, Zone, ZoneSummary

__all__ = ["miliary"]


def miliary(**changed: Any) -> Pattern:
    """Return 400 tiny round nodules spread evenly, with what is given changed."""
    zones = tuple(ZoneSummary(side, zone, 700.0, 66.7) for side in Side for zone in Zone)
    pattern = Pattern(
        nodule_count=Estimate(400.0, 340.0, 470.0),
        count_right=200.0,
        count_left=200.0,
        zones=zones,
        zones_occupied=6,
        fraction_le_5mm=Estimate(0.9, 0.86, 0.93),
        median_diameter_mm=3.2,
        diameter_cv=0.3,
        roundness=0.85,
        balance=0.95,
        evenness=0.99,
        ground_glass_fraction=0.02,
        septal_index=0.06,
        lesions_ge_10mm=0,
        consolidation_ml=0.0,
    )
    return replace(pattern, **changed)
