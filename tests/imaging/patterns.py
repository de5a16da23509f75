"""Patterns made by hand, plainly miliary unless changed."""

from dataclasses import replace
from typing import Any

from records.model import Arrangement, Estimate, Pattern, Side, Zone, ZoneSummary

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
        diameter_cv=Estimate(0.3, 0.28, 0.32),
        roundness=Estimate(0.85, 0.83, 0.87),
        balance=Estimate(0.95, 0.85, 0.99),
        evenness=Estimate(0.99, 0.98, 1.0),
        ground_glass_fraction=Estimate(0.02, 0.01, 0.04),
        septal_index=Estimate(0.01, 0.009, 0.012),
        haze_fraction=Estimate(0.01, 0.01, 0.02),
        arrangement=Arrangement(
            Estimate(1.0, 0.97, 1.03),
            Estimate(1.0, 0.9, 1.1),
            Estimate(0.9, 0.8, 1.0),
            Estimate(0.7, 0.6, 0.8),
        ),
        lesions_ge_10mm=0,
        consolidation_ml=0.0,
    )
    return replace(pattern, **changed)
