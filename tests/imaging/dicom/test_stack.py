"""Geometry comes from Image Position and Orientation alone, whatever the files are called or say besides."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.dicom.files import Frame
from imaging.dicom.stack import build_stack
from records.errors import GeometryError, Reason
from tests.imaging.dicom.making import FORMAT, MADE, frame


def row_of(*heights_mm: float) -> list[Frame]:
    return [frame(z_mm, number) for number, z_mm in enumerate(heights_mm)]


def refusal(frames) -> tuple[Reason, str]:
    with pytest.raises(GeometryError) as caught:
        build_stack(frames)
    return caught.value.reason, caught.value.sentence


@given(order=st.permutations(range(20)))
def test_any_order_of_files_gives_the_same_stack(order):
    frames = [frame(-100 + 1.25 * place, place) for place in range(20)]
    stack = build_stack([frames[place] for place in order])
    assert stack.frames == tuple(frames)
    assert stack.spacing_mm == pytest.approx((1.25, 0.7, 0.7))
    assert stack.origin_mm == (-150.0, -150.0, -100.0)
    np.testing.assert_array_equal(stack.axes, [[0, 0, 1], [0, 1, 0], [1, 0, 0]])


@given(
    along=st.sampled_from([1, -1]),
    down=st.sampled_from([1, -1]),
    turns=st.floats(-0.3, 0.3),
    start_mm=st.floats(-2000, 2000),
)
def test_plane_0_is_caudal_and_every_pixel_lies_where_its_image_says(along, down, turns, start_mm):
    # A couch turned about the table's axis, prone or supine, head or feet first, mirrored or not.
    row = along * np.array([np.cos(turns), np.sin(turns), 0.0])
    column = down * np.array([-np.sin(turns), np.cos(turns), 0.0])
    frames = [
        frame(start_mm + 2.0 * place, place, orientation=(*row.tolist(), *column.tolist()))
        for place in range(12)
    ]
    stack = build_stack(frames[::-1])
    assert stack.axes[0][2] > 0
    for plane, image in enumerate(stack.frames):
        # PS3.3 equation C.7.6.2.1-1 against origin + steps along the axes, for pixel (3, 5).
        expected = np.array(image.position_mm) + 5 * 0.7 * row + 3 * 0.7 * column
        found = np.array(stack.origin_mm) + np.array([plane, 3, 5]) * stack.spacing_mm @ stack.axes
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_slice_thickness_and_instance_numbers_are_not_believed():
    made = dataclasses.replace(MADE, slice_thickness_mm=5.0)
    frames = [frame(z, 99 - z, reconstruction=made) for z in range(12)]
    assert build_stack(frames).spacing_mm[0] == 1.0


def test_every_fifth_slice_deleted():
    frames = [image for place, image in enumerate(row_of(*np.arange(100) * 1.25)) if place % 5 != 4]
    reason, sentence = refusal(frames)
    assert reason is Reason.SLICES_MISSING
    # The last of the hundred was deleted too, which no gap tells.
    assert sentence.startswith("slices missing: 19 of 99, the first between 3.8 and 6.2 mm")


def test_one_slice_missing():
    frames = row_of(*np.arange(60) * 2.5)
    del frames[31]
    assert refusal(frames)[0] is Reason.SLICES_MISSING


def test_a_slice_given_twice_is_kept_once_and_noted():
    frames = row_of(*np.arange(30) * 2.5)
    stack = build_stack(
        [*frames, dataclasses.replace(frames[7], sop_instance_uid="1.99", instance_number=99)]
    )
    assert stack.frames == tuple(frames)
    assert stack.notes == ("images that lie where another one lies: 1; one of each place was kept",)


def test_uneven_gaps():
    heights = np.arange(40) * 2.0
    heights[20:] += 0.8
    reason, sentence = refusal(row_of(*heights))
    assert reason is Reason.MIXED_GEOMETRY
    assert "gaps of 2.00 to 2.80 mm" in sentence


def test_positions_rounded_to_a_tenth_are_even():
    heights = np.round(np.arange(400) * 0.625, 1)  # gaps of 0.6 and 0.7
    assert build_stack(row_of(*heights)).spacing_mm[0] == pytest.approx(0.625, abs=0.001)


@pytest.mark.parametrize(
    ("degrees", "is_read"),
    [
        pytest.param(0.0, True, id="upright"),
        pytest.param(0.9, True, id="within-a-degree"),
        pytest.param(1.1, False, id="beyond-a-degree"),
        pytest.param(-20.0, False, id="head-scan"),
    ],
)
def test_gantry_tilt_shears_the_stack(degrees, is_read):
    # A tilted gantry: the planes lean, the table still moves along z.
    angle = np.radians(degrees)
    orientation = (1.0, 0.0, 0.0, 0.0, np.cos(angle), np.sin(angle))
    frames = [frame(1.25 * place, place, orientation=orientation) for place in range(50)]
    if not is_read:
        reason, sentence = refusal(frames)
        assert reason is Reason.GANTRY_TILT
        assert f"{abs(degrees):.1f} degrees" in sentence
        return
    stack = build_stack(frames)
    last = np.array(stack.origin_mm) + 49 * stack.spacing_mm[0] * stack.axes[0]
    np.testing.assert_allclose(last, frames[-1].position_mm, atol=1e-6)


def test_an_oblique_stack_without_shear_is_one_volume():
    angle = np.radians(10)
    normal = np.array([0.0, -np.sin(angle), np.cos(angle)])
    orientation = (1.0, 0.0, 0.0, 0.0, np.cos(angle), np.sin(angle))
    frames = [
        frame(0, place, orientation=orientation, position_mm=tuple((1.25 * place * normal).tolist()))
        for place in range(50)
    ]
    stack = build_stack(frames)
    assert stack.spacing_mm[0] == pytest.approx(1.25)
    assert stack.tilt_from_axial_degrees == pytest.approx(10)


def test_a_512_x_500_slice_amid_the_others_is_refused():
    frames = row_of(*np.arange(40) * 2.5)
    frames[17] = dataclasses.replace(frames[17], format=dataclasses.replace(FORMAT, columns=500))
    reason, sentence = refusal(frames)
    assert reason is Reason.MIXED_GEOMETRY
    assert "another matrix" in sentence


def test_a_512_x_500_slice_where_the_others_are_complete_is_left_out():
    frames = row_of(*np.arange(40) * 2.5)
    odd = frame(17 * 2.5, 99, format=dataclasses.replace(FORMAT, columns=500))
    stack = build_stack([odd, *frames])
    assert stack.frames == tuple(frames)
    (note,) = stack.notes
    assert note.endswith("is not that of the 512 x 512 others: 1")


def test_a_scout_in_the_series_is_left_out():
    scout = frame(0, 99, orientation=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0))
    assert len(build_stack([scout, *row_of(*np.arange(40) * 2.5)]).frames) == 40


@pytest.mark.parametrize(("aside_mm", "count"), [(1.1, 30), (1.25, 40)], ids=["uneven", "even"])
def test_one_of_two_acquisitions_that_lie_between_each_other_is_taken(aside_mm, count):
    """Two breaths, each every 2.5 mm, make no scan of 1.25 mm."""
    first = row_of(*np.arange(40) * 2.5)
    again = dataclasses.replace(MADE, acquisition=2)
    second = [frame(2.5 * place + aside_mm, 100 + place, reconstruction=again) for place in range(count)]
    stack = build_stack([*second, *first])
    assert stack.frames == tuple(first)
    assert f"2 acquisitions or reconstructions; one with 40 of {40 + count}" in stack.notes[0]


@pytest.mark.parametrize("acquisition", [1, 2])
@pytest.mark.parametrize(
    "heights_mm",
    [
        pytest.param(np.arange(40) * 2.5 + 1.25, id="between"),
        pytest.param(np.arange(40)[::-1] * 2.5 + 1.25, id="between-and-back"),
        pytest.param(np.arange(38) * 2.5 + 20, id="upon-and-beyond"),
        pytest.param(np.arange(38)[::-1] * 2.5 - 20, id="upon-and-before"),
    ],
)
def test_of_two_breaths_numbered_one_after_the_other_one_is_taken(heights_mm, acquisition):
    """They were read as one scan of 1.25 mm, or as one that goes on in another breath."""
    first = row_of(*np.arange(40) * 2.5)
    made = dataclasses.replace(MADE, acquisition=acquisition)
    second = [frame(float(mm), 41 + place, reconstruction=made) for place, mm in enumerate(heights_mm)]
    stack = build_stack([*second, *first])
    assert stack.frames in (tuple(first), tuple(sorted(second, key=lambda one: one.position_mm)))
    assert "acquisitions or reconstructions; one with" in stack.notes[0]


def test_a_scan_whose_numbers_are_in_disorder_is_one_scan():
    numbers = np.random.default_rng(0).permutation(40)
    frames = [frame(2.5 * place, int(number)) for place, number in enumerate(numbers)]
    assert build_stack(frames).frames == tuple(frames)


def test_two_scans_that_nothing_tells_apart_are_refused():
    """At each place the identifier would decide, and take an image of the one or of the other by chance."""
    first = row_of(*np.arange(40) * 2.5)
    second = [
        dataclasses.replace(one, sop_instance_uid=f"{place % 2 * 5}.{place}")
        for place, one in enumerate(first)
    ]
    reason, sentence = refusal([*first, *second])
    assert reason is Reason.MIXED_GEOMETRY
    assert "at 40 of 40 places lie two images" in sentence
    counted_on = [dataclasses.replace(one, instance_number=one.instance_number + 100) for one in second]
    assert build_stack([*counted_on, *first]).frames == tuple(first)


def scan(reference, count, *, from_mm=0.0, spacing_mm=2.5) -> list[Frame]:
    """Return the images of one scan, which names its coordinates."""
    return [
        frame(
            from_mm + spacing_mm * place,
            place,
            frame_of_reference_uid=reference,
            sop_instance_uid=f"{reference}.{place}",
        )
        for place in range(count)
    ]


@pytest.mark.parametrize("from_mm", [40 * 2.5, 1.25, 20 * 2.5], ids=["above", "between", "upon"])
def test_of_two_scans_in_other_coordinates_the_larger_is_taken(from_mm):
    """Put on the table anew, the patient lies elsewhere, though a scan seems to go on where another ends."""
    first, second = scan("1.1", 40), scan("1.2", 30, from_mm=from_mm)
    stack = build_stack([*second, *first])
    assert stack.frames == tuple(first)
    assert stack.frame_of_reference_uid == "1.1"
    assert "2 scans that share no coordinates (Frame of Reference UID); one with 40 of 70" in stack.notes[0]


def test_pieces_in_other_coordinates_are_refused():
    """Four pieces of 10 images, each on top of the one before: none is what the series is."""
    reason, sentence = refusal([one for i in range(4) for one in scan(f"1.{i}", 10, from_mm=25.0 * i)])
    assert reason is Reason.MIXED_GEOMETRY
    assert "40 images name 4 frames of reference" in sentence


def test_coordinates_that_no_two_images_share_say_nothing():
    """Some anonymisers give each image a Frame of Reference UID of its own."""
    frames = [frame(2.5 * place, place, frame_of_reference_uid=f"1.{place}") for place in range(40)]
    assert build_stack(frames).frames == tuple(frames)
    named = [*frames[:20], *(dataclasses.replace(one, frame_of_reference_uid="") for one in frames[20:])]
    assert build_stack(named).frames == tuple(named)


def test_of_two_energies_in_one_series_that_of_a_usual_scan_is_taken():
    by_energy = [
        [
            frame(2.5 * place, place, reconstruction=dataclasses.replace(MADE, energy_kev=energy_kev))
            for place in range(40)
        ]
        for energy_kev in (40.0, 70.0)
    ]
    assert build_stack([*by_energy[0], *by_energy[1]]).frames == tuple(by_energy[1])


def test_acquisitions_that_follow_each_other_are_one_stack():
    """Step and shoot: the scanner counts each stop of the table as an acquisition."""
    for stop in (20, 39):
        frames = [
            frame(2.5 * place, place, reconstruction=dataclasses.replace(MADE, acquisition=place // stop))
            for place in range(40)
        ]
        assert build_stack(frames).frames == tuple(frames)


def test_directions_on_the_verge_of_a_rounding_are_one_direction():
    frames = [
        frame(2.5 * place, place, orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.000499 + 0.000002 * (place % 2)))
        for place in range(40)
    ]
    assert len(build_stack(frames).frames) == 40


def test_images_side_by_side_make_no_stack():
    frames = [frame(2.5 * place, place) for place in range(40)]
    frames[20] = dataclasses.replace(frames[20], position_mm=(-140.0, -150.0, 50.0))
    reason, sentence = refusal(frames)
    assert reason is Reason.MIXED_GEOMETRY
    assert "10.0 mm beside" in sentence


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        pytest.param(row_of(0.0), Reason.TOO_FEW_SLICES, id="single-slice"),
        pytest.param(row_of(0.0, 0.0, 0.0), Reason.TOO_FEW_SLICES, id="one-place"),
        pytest.param([frame(0, position_mm=None)], Reason.MIXED_GEOMETRY, id="no-position"),
        pytest.param(
            [frame(z, orientation=(1.0, 0.0, 0.0, 1.0, 0.0, 0.0)) for z in range(12)],
            Reason.MIXED_GEOMETRY,
            id="rows-along-columns",
        ),
        pytest.param(
            [frame(z, orientation=(0.0,) * 6) for z in range(12)], Reason.MIXED_GEOMETRY, id="no-direction"
        ),
    ],
)
def test_what_makes_no_volume(frames, reason):
    assert refusal(frames)[0] is reason
