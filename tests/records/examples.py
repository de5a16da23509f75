"""Plausible screenings made by hand, for tests that need one to show or to keep."""

import dataclasses

import numpy as np

from records.errors import Reason
from records.model import (
    Arrangement,
    Attenuation,
    Estimate,
    Finding,
    LungSummary,
    Nodule,
    Pattern,
    Provenance,
    Screening,
    Series,
    Side,
    Study,
    Verdict,
    VerdictLabel,
    Zone,
    ZoneSummary,
)

PROVENANCE = Provenance("0.1.0", "none", "default", "ab" * 32)


def study(uid="1.2.3", **changes):
    example = Study(uid, "P-001", "Doe^Jane", "2008-03-14", "CT CHEST W/O CONTRAST")
    return dataclasses.replace(example, **changes)


def series(study_uid="1.2.3"):
    return Series(
        uid=study_uid + ".7",
        study_uid=study_uid,
        description="THIN LUNG",
        image_type=("ORIGINAL", "PRIMARY", "AXIAL"),
        manufacturer="GE MEDICAL SYSTEMS",
        scanner="LightSpeed16",
        kernel="LUNG",
        slices=240,
        rows=512,
        columns=512,
        slice_thickness_mm=1.25,
        slice_spacing_mm=1.25,
        tube_current_time_product_mas=120.0,
        transfer_syntax="1.2.840.10008.1.2.1",
    )


def nodule(nodule_id, centre_mm=(-70.0, 10.0, 150.0), diameter_mm=3.0, reported=True):
    return Nodule(
        nodule_id=nodule_id,
        centre_mm=centre_mm,
        diameter_mm=Estimate(diameter_mm, diameter_mm - 0.5, diameter_mm + 0.5),
        volume_mm3=4.18879 * (diameter_mm / 2) ** 3,
        mean_hu=-120.0,
        attenuation=Attenuation.SOLID,
        roundness=0.9,
        probability=0.93 if reported else 0.12,
        reported=reported,
        side=Side.RIGHT if centre_mm[0] < 0 else Side.LEFT,
        zone=Zone.UPPER if centre_mm[2] > 200 else Zone.MIDDLE if centre_mm[2] > 100 else Zone.LOWER,
        pleura_distance_mm=12.5,
        sop_instance_uid="1.2.3.7.120",
        slice_index=120,
    )


def nodules(count=40, seed=2):
    """Return reported nodules through both lungs, and a candidate that is not reported."""
    random = np.random.default_rng(seed)
    x_mm = random.uniform(40, 120, count) * random.choice([-1, 1], count)
    y_mm = random.uniform(-80, 60, count)
    z_mm = random.uniform(20, 280, count)
    sizes_mm = random.uniform(1.5, 5.5, count)
    found = [
        nodule(number, (float(x), float(y), float(z)), float(size))
        for number, (x, y, z, size) in enumerate(zip(x_mm, y_mm, z_mm, sizes_mm, strict=True), start=1)
    ]
    return (*found, nodule(count + 1, (-60.0, 0.0, 90.0), 2.0, reported=False))


def pattern():
    zones = tuple(
        ZoneSummary(side, zone, volume_ml=700.0, nodule_count=count)
        for side, counts in ((Side.RIGHT, (40.0, 60.0, 75.0)), (Side.LEFT, (35.0, 52.0, 70.0)))
        for zone, count in zip(Zone, counts, strict=True)
    )
    return Pattern(
        nodule_count=Estimate(332.0, 270.0, 410.0),
        count_right=175.0,
        count_left=157.0,
        zones=zones,
        zones_occupied=6,
        fraction_le_5mm=Estimate(0.94, 0.9, 0.97),
        median_diameter_mm=3.2,
        diameter_cv=Estimate(0.28, 0.25, 0.31),
        roundness=Estimate(0.88, 0.86, 0.9),
        balance=Estimate(0.91, 0.8, 0.98),
        evenness=Estimate(0.97, 0.95, 0.99),
        ground_glass_fraction=Estimate(0.02, 0.01, 0.04),
        septal_index=Estimate(0.01, 0.009, 0.012),
        haze_fraction=Estimate(0.01, 0.01, 0.02),
        arrangement=Arrangement(
            Estimate(1.01, 0.98, 1.04),
            Estimate(0.97, 0.8, 1.14),
            Estimate(0.9, 0.8, 1.0),
            Estimate(0.75, 0.6, 0.9),
        ),
        lesions_ge_10mm=1,
        consolidation_ml=4.0,
    )


def verdict():
    return Verdict(
        label=VerdictLabel.MIPC,
        probability=0.97,
        criteria=(
            Finding(
                "profuse",
                Estimate(332.0, 270.0, 410.0),
                100.0,
                "nodules",
                True,
                "About 332 nodules (270 to 410): more than 100, not easily counted.",
                "Wu 2013, Eur Respir J, criterion 2",
            ),
            Finding(
                "tiny",
                Estimate(0.94, 0.9, 0.97),
                0.5,
                "share",
                True,
                "94 % of the nodules are 5 mm or less.",
                "Wu 2013, Eur Respir J, criterion 3",
            ),
        ),
        exclusions=(
            Finding(
                "unilateral",
                Estimate(0.91, 0.85, 0.97),
                0.2,
                "ratio",
                False,
                "Both lungs are alike: the emptier has 91 % of the density of the fuller.",
                "Wu 2013, Eur Respir J, exclusions",
            ),
            Finding(
                "lymphangitic", None, 0.1, "share", None, "Septal thickening cannot be told here.", "same"
            ),
        ),
        reason=None,
        sentence="Profuse, tiny nodules through both lungs.",
    )


def miliary_screening(uid="1.2.3", *, provenance=PROVENANCE, seconds=7.25, **study_changes):
    """Return a screening that meets the criteria."""
    return Screening(
        study=study(uid, **study_changes),
        series=series(uid),
        choice="THIN LUNG is the thinnest axial series with a lung kernel; SCOUT is a localizer.",
        lungs=LungSummary(right_ml=2600.0, left_ml=2200.0, mean_hu=-840.0, noise_hu=24.0),
        nodules=nodules(),
        pattern=pattern(),
        verdict=verdict(),
        provenance=provenance,
        seconds=seconds,
    )


def not_evaluable_screening(uid="1.2.4", reason=Reason.TOO_THICK, *, provenance=PROVENANCE, **study_changes):
    """Return a screening that ended in a reason."""
    return Screening(
        study=study(uid, **study_changes),
        series=None,
        choice="no series can be screened",
        lungs=None,
        nodules=(),
        pattern=None,
        verdict=Verdict(
            VerdictLabel.NOT_EVALUABLE, None, (), (), reason, "Slices are 5 mm apart; 3 mm is the limit."
        ),
        provenance=provenance,
        seconds=0.5,
    )
