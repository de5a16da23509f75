"""One series a study, for a reason that can be read, in whatever order the files come."""

import dataclasses

import pytest
from pydicom.dataset import Dataset

from imaging.dicom import choose_series, find_studies
from imaging.dicom.files import Damage, Rescale, SeriesFiles, StudyFiles
from imaging.dicom.kernels import Sharpness, sharpness
from imaging.dicom.sources import Source
from imaging.dicom.stack import build_stack
from records.errors import Reason, SeriesError
from tests.imaging.dicom.making import FORMAT, MADE, STUDY, chest, edit, export, frame, only_study, setting

THIN = {"spacing_mm": 1.25}
THICK = {"spacing_mm": 5.0}


def series(
    number,
    description="",
    *,
    spacing_mm=2.5,
    planes=None,
    thickness_mm=None,
    kernel="STANDARD",
    image_type=("ORIGINAL", "PRIMARY", "AXIAL"),
    columns=512,
    **changes,
) -> SeriesFiles:
    """Return a series 220 mm high, or as `planes` says, as intake describes it."""
    made = dataclasses.replace(
        MADE, kernel=kernel, image_type=image_type, slice_thickness_mm=thickness_mm or spacing_mm
    )
    image = dataclasses.replace(FORMAT, columns=columns)
    frames = tuple(
        frame(spacing_mm * place, place, reconstruction=made, format=image)
        for place in range(planes or round(220 / spacing_mm))
    )
    values = {
        "uid": f"1.{number}",
        "study_uid": STUDY.uid,
        "number": number,
        "description_text": description,
        "protocol": "",
        "body_part": "CHEST",
        "modality": "CT",
        "manufacturer": "",
        "scanner": "",
        "frame_of_reference_uid": "1.1",
        "exposure_mas": None,
        "frames": frames,
        "damaged": (),
        "copies": 0,
        "other_objects": 0,
    }
    return SeriesFiles(**(values | changes))


def each(one: SeriesFiles, **changes) -> SeriesFiles:
    """Change every frame."""
    return dataclasses.replace(
        one, frames=tuple(dataclasses.replace(frame, **changes) for frame in one.frames)
    )


def choose(*several: SeriesFiles):
    return choose_series(StudyFiles(STUDY, several))


def refusal(*several: SeriesFiles) -> tuple[Reason, str]:
    with pytest.raises(SeriesError) as caught:
        choose(*several)
    return caught.value.reason, caught.value.sentence


# Series 1 is always the worse one: it would win every tie.
@pytest.mark.parametrize(
    ("worse", "better"),
    [
        pytest.param(THICK, THIN, id="thick"),
        pytest.param({**THIN, "planes": 100}, {**THICK, "planes": 60}, id="thin-but-half-the-lungs"),
        pytest.param({**THIN, "columns": 300}, THICK, id="thin-but-one-lung-in-view"),
        pytest.param({**THIN, "description": "HEAD 1.25"}, THICK, id="head"),
        pytest.param({**THIN, "description": "Thorax expiration"}, THICK, id="expiration"),
        pytest.param({**THIN, "description": "Thx Exspiration"}, THICK, id="expiration-in-german"),
        pytest.param({**THIN, "description": "Thorax expi"}, THICK, id="expiration-in-french"),
        pytest.param({**THIN, "image_type": ("DERIVED", "PRIMARY", "AXIAL")}, THICK, id="derived"),
        pytest.param({"thickness_mm": 5.0}, {"thickness_mm": 2.5}, id="overlapping-thick"),
        pytest.param({**THIN, "kernel": "BONEPLUS"}, {**THIN, "kernel": "LUNG"}, id="bone-kernel"),
        pytest.param({**THIN, "kernel": "Br64"}, {**THIN, "kernel": "Br36"}, id="lung-kernel"),
        pytest.param({**THIN, "planes": 170}, {**THIN, "planes": 180}, id="fewer-slices"),
    ],
)
def test_the_better_of_two(worse, better):
    choice = choose(series(1, **worse), series(2, **better))
    assert choice.series.number == 2
    assert "chosen over 1 other readable series" in choice.reason
    ((rejected, sentence),) = choice.rejected
    assert rejected.number == 1
    assert choice.runners_up == (rejected,)
    assert sentence.startswith("readable, but ")


def monoenergetic(energy_kev):
    """Return a change that makes an image one of an energy (PS3.3 C.8.15.2.1.1.5, Supplement 188)."""

    def change(image):
        characteristics = Dataset()
        characteristics.MonoenergeticEnergyEquivalent = energy_kev
        image.ImageType = ["DERIVED", "PRIMARY", "AXIAL", "VMI"]
        image.MultienergyCTCharacteristicsSequence = [characteristics]

    return change


def test_of_several_energies_that_nearest_to_a_usual_scan_is_taken(tmp_path):
    """They differ in nothing else: the first by its number was taken, at 40 keV the noisiest."""
    for number, energy_kev in enumerate((40.0, 65.0, 74.0, 140.0), start=1):
        edit(export(tmp_path / str(number), chest(12), series_number=number), monoenergetic(energy_kev))
    choice = choose_series(only_study(tmp_path))
    assert choice.series.number == 3
    assert "kernel STANDARD, 74 keV, chosen over 3 other" in choice.reason
    assert [series.number for series in choice.runners_up] == [2, 1, 4]
    assert choice.rejected[1][1] == (
        "readable, but its 40 keV are further from the 70 keV that look like 120 kVp (taken: series 3 'thin')"
    )


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        pytest.param("MonoE 40 keV", "MonoE 70 keV", id="named-in-the-description"),
        pytest.param("Mono+ 100keV", "Mono+ 80keV", id="the-nearer"),
        pytest.param("MonoE 60 keV", "DE Mixed 0.6", id="the-whole-spectrum"),
    ],
)
def test_energies_that_only_descriptions_name(worse, better):
    choice = choose(series(1, worse, **THIN), series(2, better, **THIN))
    assert choice.series.number == 2
    assert "keV are further from the 70 keV" in choice.rejected[0][1]


def test_slices_and_kernel_come_before_the_energy():
    """At 5 mm nothing of 5 mm is seen well at any energy."""
    assert choose(series(1, "70 keV", **THICK), series(2, "50 keV", **THIN)).series.number == 2
    sharp = series(1, "70 keV", kernel="BONEPLUS", **THIN)
    assert choose(sharp, series(2, "50 keV", **THIN)).series.number == 2


def test_of_equals_the_earlier_is_taken_in_any_order_of_files(tmp_path):
    for number in (5, 3, 4):
        export(tmp_path / str(number), chest(12), series_number=number)
    choice = choose_series(only_study(tmp_path))
    assert choice.series.number == 3
    files = sorted(tmp_path.rglob("*.dcm"), reverse=True)
    (study,) = find_studies(files).studies
    assert choose_series(study) == choice


NAMED_OTHERWISE = [
    "AX_MIP8",
    "Axial MIPs 8 mm",
    "Max-IP 10",
    "Cor MPRs",
    "Lung PBV",
    "DE Iodine Map 1.0",
    "Virtual Non-Contrast",
    "Z-Eff",
    "ElectronDensity",
    "CTA Subtraction",
    "Topogram 0.6",
    "Dose report",
    "Bolus tracking",
]


@pytest.mark.parametrize(
    ("image_type", "description"),
    [
        pytest.param(("ORIGINAL", "PRIMARY", "LOCALIZER"), "", id="localizer"),
        pytest.param(("DERIVED", "SECONDARY", "MIP"), "", id="mip"),
        pytest.param(("DERIVED", "SECONDARY", "OTHER", "CSA MPR"), "", id="mpr"),
        pytest.param(("DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"), "", id="reformat"),
        pytest.param(("DERIVED", "SECONDARY", "AXIAL"), "", id="derived"),
        pytest.param(("DERIVED", "SECONDARY", "SCREEN SAVE"), "", id="screenshot"),
        pytest.param(("DERIVED", "PRIMARY", "AXIAL", "MAXIMUM_IP"), "", id="maximum"),
        pytest.param(("DERIVED", "PRIMARY", "VOLUME", "MINIMUM"), "", id="minimum-of-enhanced-ct"),
        pytest.param(("DERIVED", "PRIMARY", "AXIAL", "MAT_REMOVED"), "", id="virtual-non-contrast"),
        pytest.param(("DERIVED", "PRIMARY", "AXIAL", "EFF_ATOMIC_NUM"), "", id="atomic-numbers"),
        pytest.param(("DERIVED", "PRIMARY", "AXIAL", "CT_SOM8 DE IODINE"), "", id="iodine"),
        *(pytest.param(("ORIGINAL", "PRIMARY", "AXIAL"), name, id=name) for name in NAMED_OTHERWISE),
    ],
)
def test_what_is_no_reconstruction_is_never_screened(image_type, description):
    odd = series(1, description, image_type=image_type, **THIN)
    assert refusal(odd)[0] is Reason.NO_CT
    assert choose(odd, series(2, **THICK)).series.number == 2


@pytest.mark.parametrize(
    "description",
    [
        "CHEST LOW DOSE 1.25", "LowDose thorax", "Ultra-low-dose lung", "i-Dose 4 lung", "Thorax with bolus",
        "MonoE 70 keV", "DE Mixed 0.6", "Thorax non-contrast", "CTPA with iodine contrast",
        "Lung perfusion CT 1.0",
    ],
)  # fmt: skip
def test_a_scan_of_low_dose_one_energy_or_after_a_bolus_is_screened(description):
    assert choose(series(1, description)).series.number == 1


def test_a_coronal_series_is_no_axial_ct():
    upright = [
        frame(0, place, position_mm=(0.0, 2.5 * place, 0.0), orientation=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0))
        for place in range(100)
    ]
    reason, sentence = refusal(series(1, frames=tuple(upright)))
    assert reason is Reason.NO_CT
    assert "90 degrees from the axial plane" in sentence


@pytest.mark.parametrize(
    "image",
    [
        dataclasses.replace(FORMAT, samples=3, photometric="RGB", bits_allocated=8, bits_stored=8),
        dataclasses.replace(FORMAT, bits_allocated=8, bits_stored=8),
    ],
)
def test_a_picture_with_ct_modality_is_no_ct(image):
    reason, sentence = refusal(each(series(1), format=image))
    assert reason is Reason.NO_CT
    assert "holds pixels of 8 bits" in sentence


LOCALIZER = dataclasses.replace(MADE, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"))
MIP = dataclasses.replace(MADE, image_type=("DERIVED", "SECONDARY", "MIP"), slice_thickness_mm=0.5)
CAPTURE = dataclasses.replace(MADE, sop_class_uid="1.2.840.10008.5.1.4.1.1.7")


@pytest.mark.parametrize(
    "others",
    [
        pytest.param([frame(0, -1, reconstruction=LOCALIZER)], id="localizer-before-the-slices"),
        pytest.param([frame(40, -1, reconstruction=MIP)], id="mip-amid-the-slices"),
        pytest.param(
            [frame(2.5 * place, 900 + place, reconstruction=MIP) for place in range(200)], id="mips"
        ),
        pytest.param(
            [
                frame(
                    0,
                    999,
                    position_mm=None,
                    reconstruction=CAPTURE,
                    format=dataclasses.replace(FORMAT, samples=3, photometric="RGB", bits_allocated=8),
                )
            ],
            id="sheet-of-doses-behind-the-slices",
        ),
    ],
)
def test_pictures_among_the_slices_of_a_series_are_left_out(others):
    slices = series(1).frames
    mixed = dataclasses.replace(
        series(1), frames=tuple(sorted([*slices, *others], key=lambda one: one.instance_number))
    )
    chosen = choose(mixed).series
    stack = build_stack(chosen.frames)
    assert stack.frames == slices
    assert stack.notes == (f"images left out since they are no plain slices of a CT: {len(others)}",)
    assert chosen.description.image_type == ("ORIGINAL", "PRIMARY", "AXIAL")


def test_the_description_is_that_of_the_images_that_are_read():
    thick = dataclasses.replace(MADE, acquisition=1, kernel="BONE", slice_thickness_mm=5.0)
    first = [frame(5.0 * place + 1.1, place, reconstruction=thick) for place in range(30)]
    mixed = dataclasses.replace(series(1), frames=(*first, *series(1, **THIN).frames))
    described = mixed.description
    assert (described.kernel, described.slice_thickness_mm, described.slice_spacing_mm) == (
        "STANDARD",
        1.25,
        1.25,
    )


def test_slices_of_mixed_thickness_are_as_thick_as_the_thickest():
    thin = series(1)
    thick = dataclasses.replace(MADE, slice_thickness_mm=10.0)
    mixed = dataclasses.replace(
        thin,
        frames=(*thin.frames[:40], *(dataclasses.replace(f, reconstruction=thick) for f in thin.frames[40:])),
    )
    assert refusal(mixed)[0] is Reason.TOO_THICK


@pytest.mark.parametrize(
    ("spacing_mm", "thickness_mm", "is_read"),
    [
        pytest.param(5.0, 5.0, True, id="5-mm"),
        pytest.param(5.04, 5.0, True, id="rounded"),
        pytest.param(5.1, 5.0, False, id="gaps"),
        pytest.param(2.5, 5.1, False, id="thick-and-overlapping"),
        pytest.param(10.0, 1.0, False, id="high-resolution-with-gaps"),
    ],
)
def test_slices_beyond_5_mm_cannot_show_nodules_of_5_mm(spacing_mm, thickness_mm, is_read):
    one = series(1, spacing_mm=spacing_mm, thickness_mm=thickness_mm)
    if is_read:
        assert choose(one).series is one
        return
    reason, sentence = refusal(one)
    assert reason is Reason.TOO_THICK
    assert f"{max(spacing_mm, thickness_mm):.3g} mm" in sentence


def test_too_few_slices():
    assert refusal(series(1, planes=9)) == (
        Reason.TOO_FEW_SLICES,
        "series 1: 9 slices, a lung needs at least 10",
    )


@pytest.mark.parametrize("rescale", [None, Rescale(1, -1024, "US"), Rescale(1, 0, "EDW")])
def test_values_that_cannot_become_hounsfield_units(rescale):
    assert refusal(each(series(1), rescale=rescale))[0] is Reason.NOT_HU


def test_the_reason_is_that_of_the_series_that_came_furthest():
    reason, sentence = refusal(
        series(1, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER")),
        series(2, planes=3),
        series(3, spacing_mm=8.0),
    )
    assert reason is Reason.TOO_THICK
    assert sentence.startswith("series 3: ")
    assert sentence.endswith("(2 other series cannot be screened either)")


def test_images_that_share_one_identifier_are_told_where_they_are_missed(tmp_path):
    """An export that gave all images one SOP Instance UID is not a scan of one slice."""
    edit(export(tmp_path), setting(SOPInstanceUID="1.2.3"))
    with pytest.raises(SeriesError) as caught:
        choose_series(only_study(tmp_path))
    assert caught.value.sentence == (
        "series 2 'thin': 1 slice, a lung needs at least 10 "
        "(files left out since another one bears their SOP Instance UID: 23)"
    )


def test_a_damaged_series_gives_way_to_an_intact_one():
    broken = series(1, damaged=(Damage(Source("x.dcm"), "x.dcm is cut off"),), **THIN)
    assert refusal(broken) == (Reason.UNREADABLE_PIXELS, "series 1: x.dcm is cut off")
    choice = choose(broken, series(2, **THICK))
    assert choice.series.number == 2
    assert choice.rejected == ((broken, "x.dcm is cut off"),)


def test_a_secondary_capture_beside_the_ct_is_set_aside():
    capture = each(
        series(1, modality="OT"),
        reconstruction=dataclasses.replace(MADE, sop_class_uid="1.2.840.10008.5.1.4.1.1.7"),
    )
    choice = choose(capture, series(2))
    assert choice.series.number == 2
    assert choice.rejected == ((capture, "holds no CT image (OT)"),)


def test_a_study_without_series_holds_no_ct():
    assert refusal()[0] is Reason.NO_CT


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        ("", Sharpness.SOFT),
        ("STANDARD", Sharpness.SOFT),
        ("B31f", Sharpness.SOFT),
        ("I30f", Sharpness.SOFT),
        ("FC08", Sharpness.SOFT),
        ("Br59d", Sharpness.LUNG),
        ("Bl64d", Sharpness.LUNG),
        ("B60s", Sharpness.LUNG),
        ("LUNG", Sharpness.LUNG),
        ("FC51", Sharpness.LUNG),
        ("B70f", Sharpness.BONE),
        ("BONEPLUS", Sharpness.BONE),
        ("FC30", Sharpness.BONE),
    ],
)
def test_kernels_as_vendors_name_them(kernel, expected):
    assert sharpness(kernel) is expected
