"""Which series can be read at all: the rules one by one, each with its code and its sentence."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from imaging.dicom.files import SeriesFiles
from imaging.dicom.headers import CT_CLASSES
from imaging.dicom.hounsfield import rescale_fault
from imaging.dicom.stack import Stack, build_stack
from imaging.dicom.words import words
from records.errors import GeometryError, Reason

__all__ = ["Candidate", "Fault", "examine"]

FEWEST_SLICES = 10  # fewer cannot hold lungs at any slice distance that is read

# A ball of 5 mm is cut by some plane wherever it lies only if planes are at most 5 mm apart, and a slice
# thicker than the ball dilutes it even where it is centred (in a slice of its own diameter it fills 2/3
# of the disc it covers). Beyond 5 mm a nodule of the size that the criteria ask for may leave no trace,
# so that a scan without nodules says nothing. The Fleischner Society asks for 1.5 mm (MacMahon 2017,
# Radiology 284:228); 1.5-5 mm is read, and the verdict is free to be indeterminate.
MAX_SLICE_MM = 5.0
ROUNDING_MM = 0.05
OBLIQUE_DEGREES = 20.0  # still an axial scan; a reformat is at 90

NOT_ANATOMY = frozenset(
    "LOCALIZER MIP MINIP MPR CPR MAX_IP MIN_IP REFORMATTED PROJECTION RENDERED VOLREN VRT SSD "
    "SCREEN DOSE_INFO DOSE VOLUME_RENDER SURFACE_RENDER FUSION".split()
)


# A scan may be of low dose or after a bolus: only a sheet of doses or the timing of a bolus is no scan.
NAMED_OTHERWISE = words(
    "mip", "minip", "mpr", "vrt?", "scout", "topo(?:gram)?", "surview", "localizer", "screen ?save",
    r"dose[ _-]?(?:reports?|info\w*|sheets?|summary|records?|pages?)", "smart ?prep", "(?:pre)?monitoring",
    r"(?:test|timing)[ _-]?bolus", r"bolus[ _-]?(?:prep\w*|tim\w+|track\w*|monitor\w*)", "tracker",
    "reformat(?:ted|s)?",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a series cannot be read."""

    reason: Reason
    sentence: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A series that can be read."""

    series: SeriesFiles
    stack: Stack

    @property
    def slice_mm(self) -> float:
        """The coarser of slice distance and slice thickness."""
        thickness_mm = self.stack.frames[0].reconstruction.slice_thickness_mm
        return max(self.stack.spacing_mm[0], thickness_mm or 0.0)

    @property
    def field_of_view_mm(self) -> float:
        """The shorter side of the image."""
        first = self.stack.frames[0].format
        return min(first.rows * self.stack.spacing_mm[1], first.columns * self.stack.spacing_mm[2])

    @property
    def is_derived(self) -> bool:
        """Whether it was computed from other images."""
        return "DERIVED" in self.stack.frames[0].reconstruction.image_type

    @property
    def in_words(self) -> str:
        """Slices, spacing, extent and kernel."""
        first = self.stack.frames[0]
        kernel = f", kernel {first.reconstruction.kernel}" if first.reconstruction.kernel else ""
        return (
            f"{len(self.stack.frames)} axial slices every {self.stack.spacing_mm[0]:.3g} mm "
            f"over {self.stack.extent_mm:.0f} mm{kernel}"
        )


def _is_ct(series: SeriesFiles) -> Fault | None:
    if any(frame.reconstruction.sop_class_uid in CT_CLASSES for frame in series.frames) or (
        series.damaged and series.modality == "CT"
    ):
        return None
    what = series.modality or "unknown modality"
    return Fault(Reason.NO_CT, f"holds no CT image ({what})")


def _is_grey(series: SeriesFiles) -> Fault | None:
    for image in {frame.format for frame in series.frames}:
        if image.samples != 1 or image.bits_allocated != 16 or not image.photometric.startswith("MONOCHROME"):
            return Fault(
                Reason.NO_CT,
                f"is a picture, not a CT: {image.bits_allocated} bits {image.photometric}",
            )
    return None


def _shows_anatomy(series: SeriesFiles) -> Fault | None:
    types = {part for frame in series.frames[:1] for part in frame.reconstruction.image_type}
    words = {word for part in types for word in re.split(r"[ _\\/]+", part)} | types
    shown = sorted(words & NOT_ANATOMY)
    if shown:
        return Fault(Reason.NO_CT, f"is no plain reconstruction: Image Type says {shown[0]}")
    if {"DERIVED", "SECONDARY"} <= types:
        return Fault(Reason.NO_CT, "is derived from other images: Image Type says DERIVED, SECONDARY")
    named = NAMED_OTHERWISE.search(series.description_text)
    if named:
        return Fault(Reason.NO_CT, f"is no plain reconstruction: its description says '{named[0]}'")
    return None


def _is_whole(series: SeriesFiles) -> Fault | None:
    if not series.damaged:
        return None
    count = len(series.damaged)
    more = f" ({count} such files)" if count > 1 else ""
    return Fault(Reason.UNREADABLE_PIXELS, series.damaged[0].sentence + more)


def _has_slices(series: SeriesFiles) -> Fault | None:
    if len(series.frames) >= FEWEST_SLICES:
        return None
    return Fault(Reason.TOO_FEW_SLICES, f"{len(series.frames)} slices, a lung needs at least {FEWEST_SLICES}")


RULES: tuple[Callable[[SeriesFiles], Fault | None], ...] = (
    _is_ct,
    _is_grey,
    _shows_anatomy,
    _is_whole,
    _has_slices,
)


def examine(series: SeriesFiles) -> tuple[int, Candidate | Fault]:
    """Return how many rules `series` passes, and the fault that stops it, if one does."""
    for passed, rule in enumerate(RULES):
        fault = rule(series)
        if fault:
            return passed, fault
    passed = len(RULES)
    try:
        stack = build_stack(series.frames)
    except GeometryError as error:
        return passed, Fault(error.reason, error.sentence)
    candidate = Candidate(series, stack)
    if stack.tilt_from_axial_degrees > OBLIQUE_DEGREES:
        # Told as "no axial CT", so it has not come further than a picture.
        return 1, Fault(
            Reason.NO_CT, f"is not axial: {stack.tilt_from_axial_degrees:.0f} degrees from the axial plane"
        )
    if len(stack.frames) < FEWEST_SLICES:
        places = len(stack.frames)
        return passed + 1, Fault(
            Reason.TOO_FEW_SLICES, f"slices at {places} places, a lung needs at least {FEWEST_SLICES}"
        )
    fault_text = rescale_fault(stack.frames)
    if fault_text:
        return passed + 2, Fault(Reason.NOT_HU, fault_text)
    if candidate.slice_mm > MAX_SLICE_MM + ROUNDING_MM:
        return passed + 3, Fault(
            Reason.TOO_THICK,
            f"slices of {candidate.slice_mm:.3g} mm hide nodules of 5 mm or less; "
            f"at most {MAX_SLICE_MM:g} mm is read",
        )
    return passed + 4, candidate
