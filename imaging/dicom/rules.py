"""Which series can be read at all: the rules one by one, each with its code and its sentence."""

from collections.abc import Callable
from dataclasses import dataclass

from imaging.dicom.energy import described_kev
from imaging.dicom.files import SeriesFiles
from imaging.dicom.hounsfield import rescale_fault
from imaging.dicom.plain import is_ct, may_be_ct, why_no_slice
from imaging.dicom.stack import Stack, build_stack
from imaging.dicom.words import words
from records.errors import GeometryError, Reason
from records.wording import counted

__all__ = ["NAMED_OTHERWISE", "Candidate", "Fault", "examine"]

FEWEST_SLICES = 10  # fewer cannot hold lungs at any slice distance that is read

# A ball of 5 mm is cut by some plane wherever it lies only if planes are at most 5 mm apart, and a slice
# thicker than the ball dilutes it even where it is centred (in a slice of its own diameter it fills 2/3
# of the disc it covers). Beyond 5 mm a nodule of the size that the criteria ask for may leave no trace,
# so that a scan without nodules says nothing. The Fleischner Society asks for 1.5 mm (MacMahon 2017,
# Radiology 284:228); 1.5-5 mm is read, and the verdict is free to be indeterminate.
MAX_SLICE_MM = 5.0
ROUNDING_MM = 0.05
OBLIQUE_DEGREES = 20.0  # still an axial scan; a reformat is at 90

# A scan may be of low dose or after a bolus: only a sheet of doses or the timing of a bolus is no scan. One
# energy of several (70 keV) is a scan; what is computed from them (iodine, water, a map of blood) is none.
NAMED_OTHERWISE = words(
    "mips?", "max[ _-]?ips?", "min[ _-]?ips?", "mprs?", "vrts?", "vr", "scout", "topo(?:gram)?", "surview",
    "localizer", "screen ?save",
    r"dose[ _-]?(?:reports?|info\w*|sheets?|summary|records?|pages?)", "smart ?prep", "(?:pre)?monitoring",
    r"(?:test|timing)[ _-]?bolus", r"bolus[ _-]?(?:prep\w*|tim\w+|track\w*|monitor\w*)", "tracker",
    "reformat(?:ted|s)?", "subtract(?:ion|ed)",
    "vnc", r"virtual[ _-]?(?:non?[ _-]?contrast|unenhanced|native)", r"iodine[ _-]?(?:maps?|overlay|density)",
    r"overlay[ _-]?iodine", r"iodine[ _-]?no[ _-]?water", "pbv", "cb[fv]", r"perfusion[ _-]?maps?",
    r"z[ _-]?eff(?:ective)?", r"(?:effective[ _-]?)?atomic[ _-]?number", r"electron[ _-]?density",
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
        return max(self.stack.spacing_mm[0], self.stack.slice_thickness_mm or 0.0)

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
    def energy_kev(self) -> float | None:
        """Of a virtual monoenergetic image; None of one of the whole spectrum."""
        stated = self.stack.frames[0].reconstruction.energy_kev
        return stated or described_kev(self.series.description_text)

    @property
    def in_words(self) -> str:
        """Slices, spacing, extent, kernel and energy."""
        first = self.stack.frames[0]
        kernel = f", kernel {first.reconstruction.kernel}" if first.reconstruction.kernel else ""
        energy = f", {self.energy_kev:g} keV" if self.energy_kev else ""
        return (
            f"{len(self.stack.frames)} axial slices every {self.stack.spacing_mm[0]:.3g} mm "
            f"over {self.stack.extent_mm:.0f} mm{kernel}{energy}"
        )


def _is_ct(series: SeriesFiles) -> Fault | None:
    if may_be_ct(series):
        return None
    what = "modality CT, but no file of a CT image class" if series.modality == "CT" else series.modality
    return Fault(Reason.NO_CT, f"holds no CT image ({what or 'unknown modality'})")


def _has_slices(series: SeriesFiles) -> Fault | None:
    """Ask the images, each for itself: a scout or a sheet of doses may lie among slices."""
    faults = [why_no_slice(frame) for frame in series.frames if is_ct(frame)]
    return Fault(Reason.NO_CT, faults[0]) if faults and all(faults) else None


def _is_named_so(series: SeriesFiles) -> Fault | None:
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


def _has_enough(series: SeriesFiles) -> Fault | None:
    if len(series.frames) >= FEWEST_SLICES:
        return None
    return Fault(
        Reason.TOO_FEW_SLICES,
        f"{counted(len(series.frames), 'slice')}, a lung needs at least {FEWEST_SLICES}",
    )


RULES: tuple[Callable[[SeriesFiles], Fault | None], ...] = (
    _is_ct,
    _has_slices,
    _is_named_so,
    _is_whole,
    _has_enough,
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
