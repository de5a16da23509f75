"""The studies of `sample_dicoms/`: who is in them, how they are scanned, how they are written."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom.uid import JPEGLSLossless

from imaging.dicom.uids import derive_uid
from imaging.dicom.write import write_series
from imaging.phantom.chest import Patient, Phantom, draw_patient, scan
from imaging.phantom.nodules import NoduleSpec, NoduleTruth, treated
from imaging.phantom.scanner import Kernel
from imaging.phantom.spec import Breath, ChestSpec
from records.model import Side, Study, Volume

__all__ = ["SAMPLES", "Sample", "localizer", "write_localizer", "write_sample", "write_samples"]

TRUTH_COLUMNS = ("study", "study_uid", "nodule_id", "x_mm", "y_mm", "z_mm", "diameter_mm", "hu", "side")

# A moderate noise, a narrow field and slim patients keep the six studies under 40 MB.
THIN = ChestSpec(spacing_mm=(2.0, 0.98, 0.98), matrix=320, noise_hu=6.0, has_clean_air=True, margin_mm=4.0)
MEDIUM = replace(THIN, spacing_mm=(2.5, 0.98, 0.98))
THICK = replace(THIN, spacing_mm=(5.0, 0.98, 0.98), kernel=Kernel.SMOOTH, noise_hu=4.5)
PADDED = replace(MEDIUM, field_of_view_mm=314.0)


@dataclass(frozen=True, slots=True)
class Sample:
    """One study of `sample_dicoms/`.

    Attributes
    ----------
    name : str
        Its folder.
    seed : int
        The patient.
    spec : ChestSpec
        The series to judge.
    is_treated : bool
        Scan what is left after treatment of the nodules that `spec` would draw.
    extra : tuple of ChestSpec
        Further series of the same study, read from the same breath; then a localizer is written too.
    """

    name: str
    patient_id: str
    study_date: str
    seed: int
    spec: ChestSpec
    is_treated: bool = False
    extra: tuple[ChestSpec, ...] = ()

    @property
    def study(self) -> Study:
        """The study as its headers name it."""
        uid = derive_uid("mipc", "sample", self.name)
        person = f"Sample^{self.patient_id.rsplit('-', 1)[-1]}"
        return Study(uid, self.patient_id, person, self.study_date, "CT CHEST (SYNTHETIC)")


MILIARY = NoduleSpec(count=700)
SAMPLES = (
    Sample("miliary", "SAMPLE-01", "2024-03-04", 80, replace(THIN, nodules=MILIARY)),
    Sample(
        "miliary_treated",
        "SAMPLE-01",
        "2024-06-10",
        80,
        replace(
            THIN,
            nodules=MILIARY,
            acquisition=1,
            breath=Breath(depth=-0.02, shift_mm=(3.0, -2.0, 5.0), turn_deg=1.5),
        ),
        is_treated=True,
    ),
    Sample("normal", "SAMPLE-02", "2024-03-05", 98, MEDIUM),
    Sample("few", "SAMPLE-03", "2024-03-06", 77, replace(PADDED, nodules=NoduleSpec(8, (3.0, 6.0)))),
    Sample(
        "one_sided",
        "SAMPLE-04",
        "2024-03-07",
        44,
        replace(PADDED, nodules=NoduleSpec(400, sides=(Side.RIGHT,))),
    ),
    Sample("several_series", "SAMPLE-05", "2024-03-08", 52, MEDIUM, extra=(THICK,)),
)


def localizer(volume: Volume) -> Volume:
    """Return the frontal scout view of a volume: what an X-ray from the front would show.

    Parameters
    ----------
    volume : Volume
        Axial, with its axes along the patient's.

    Returns
    -------
    Volume
        One coronal plane, head up.
    """
    depth_mm = volume.spacing_mm[1]
    # Attenuation along the beam, in millimetres of water, then on a scale that fills a scout's usual range.
    water_mm = np.sum(np.maximum(volume.hu, -1000).astype(np.float64) + 1000.0, axis=1) * depth_mm / 1000.0
    shown = np.rint(-1000.0 + 6.0 * water_mm[::-1]).astype(np.int16)
    top = volume.origin_mm[2] + (len(volume.hu) - 1) * volume.spacing_mm[0]
    return replace(
        volume,
        hu=shown[None],
        origin_mm=(volume.origin_mm[0], 0.0, top),
        axes=np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]]),
        spacing_mm=(1.0, volume.spacing_mm[0], volume.spacing_mm[2]),
        slice_thickness_mm=None,
        sop_instance_uids=("",),
    )


def _nodules(sample: Sample, patient: Patient) -> tuple[NoduleTruth, ...] | NoduleSpec:
    """Return the nodules of a sample; those left by treatment are chosen from the untreated ones."""
    if not sample.is_treated:
        return sample.spec.nodules
    coarse = replace(sample.spec, spacing_mm=(10.0, 4.0, 4.0), matrix=80)  # only its nodules are wanted
    before = scan(patient, coarse).patient_nodules
    return treated(before, left=15, rng=np.random.default_rng([sample.seed, 6]))


def write_sample(sample: Sample, folder: Path) -> Phantom:
    """Write one study into `folder / sample.name` (JPEG-LS lossless); return its main series and truth."""
    patient = draw_patient(sample.seed)
    spec = replace(sample.spec, nodules=_nodules(sample, patient))
    phantom = scan(patient, spec)
    place = folder / sample.name
    place.mkdir(parents=True, exist_ok=True)
    for old in place.glob("*.dcm"):
        old.unlink()
    series = [(2, spec, phantom)]
    if sample.extra:
        write_localizer(sample, phantom.volume, place)
        extra = (replace(one, nodules=spec.nodules, breath=spec.breath) for one in sample.extra)
        series += [(3 + n, one, scan(patient, one)) for n, one in enumerate(extra)]
    for number, one, shown in series:
        description = f"CHEST {one.spacing_mm[0]:g} mm {one.kernel.value}"
        write_series(
            shown.volume, place, study=sample.study, series_number=number, description=description,
            transfer_syntax=JPEGLSLossless, mas=120.0,
        )  # fmt: skip
    return phantom


def write_localizer(sample: Sample, volume: Volume, place: Path) -> Path:
    """Write the scout view of a sample's main series into `place`; return the file."""
    paths = write_series(
        localizer(volume), place, study=sample.study, series_number=1, description="SCOUT", kernel="",
        image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"), transfer_syntax=JPEGLSLossless,
    )  # fmt: skip
    return paths[0]


def _truth_rows(sample: Sample, nodules: tuple[NoduleTruth, ...]) -> Iterator[tuple[str, ...]]:
    """Yield a row of `truth.csv` for each nodule."""
    for number, nodule in enumerate(nodules, start=1):
        places = (f"{value:.3f}" for value in nodule.centre_mm)
        size = (f"{nodule.diameter_mm:.3f}", f"{nodule.hu:.1f}", nodule.side.value)
        yield (sample.name, sample.study.uid, str(number), *places, *size)


def write_samples(folder: Path, samples: tuple[Sample, ...] = SAMPLES) -> Iterator[tuple[Sample, Phantom]]:
    """Write every sample and, at the end, `truth.csv`; yield each when it is written."""
    rows: list[tuple[str, ...]] = []
    for sample in samples:
        phantom = write_sample(sample, folder)
        rows += _truth_rows(sample, phantom.nodules)
        yield sample, phantom
    with (folder / "truth.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(TRUTH_COLUMNS)
        writer.writerows(rows)
