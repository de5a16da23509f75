import io
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imaging.geometry import index_of
from imaging.pictures import SLAB_MM, Pictures, Plane, draw
from records.model import Volume
from tests.records.examples import nodule

SPACING_MM = (1.25, 0.8, 0.75)


def turned(order, signs):
    """Return (3, 3) axes: the array axes run along these patient axes, in these directions."""
    axes = np.zeros((3, 3))
    for axis, (direction, sign) in enumerate(zip(order, signs, strict=True)):
        axes[axis, direction] = sign
    return axes


def chest(balls_mm, *, shape=(60, 90, 100), axes=None, spacing_mm=SPACING_MM, air_hu=-900):
    """Return a volume of air with balls of soft tissue, and lungs that fill all but a rim."""
    axes = turned((2, 1, 0), (1, 1, 1)) if axes is None else axes
    half_mm = (np.array(shape) - 1) / 2 * spacing_mm
    origin = -half_mm @ axes  # the middle of the array is the origin of the patient
    volume = Volume(
        hu=np.full(shape, air_hu, np.int16),
        origin_mm=tuple(origin),
        axes=axes,
        spacing_mm=spacing_mm,
        slice_thickness_mm=1.25,
        kernel="",
        series_uid="",
        frame_of_reference_uid="",
        sop_instance_uids=("1.2",) * shape[0],
    )
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) * spacing_mm
    for centre_mm, radius_mm in balls_mm:
        centre = index_of(volume, np.array([centre_mm], dtype=float))[0] * spacing_mm
        volume.hu[np.linalg.norm(grid - centre, axis=-1) <= radius_mm] = 50
    lungs = np.zeros(shape, np.uint8)
    lungs[12:-12, 15:-15, 15:-15] = 1
    return volume, lungs


def grey(slab):
    return np.asarray(Image.open(io.BytesIO(slab.jpeg))).astype(float)


def brightest_place(slab):
    """Return (column, row) of the centre of what is brighter than half way to the ball."""
    rows, columns = np.nonzero(grey(slab) > 160)
    return columns.mean(), rows.mean()


ORIENTATIONS = [
    pytest.param(turned(order, signs), id=f"axes-{order}-{signs}")
    for order, signs in [
        ((2, 1, 0), (1, 1, 1)),  # supine, feet to head
        ((2, 1, 0), (1, -1, -1)),  # prone
        ((2, 0, 1), (1, 1, -1)),  # turned a quarter
        ((1, 2, 0), (1, -1, 1)),  # a coronal acquisition
    ]
]


@pytest.mark.parametrize("axes", ORIENTATIONS)
@pytest.mark.parametrize("plane", Plane)
def test_a_ball_is_where_the_picture_says(axes, plane):
    centre_mm = (-11.0, 6.0, 9.0)
    volume, lungs = chest([(centre_mm, 3.0)], axes=axes)
    ball = nodule(1, centre_mm, diameter_mm=6.0)
    pictures = draw(volume, lungs, [ball])
    first = pictures.slabs[pictures.first_looks[list(Plane).index(plane)]]
    assert first.plane is plane
    assert first.shows(ball)
    column, row, depth_mm = first.locate(centre_mm)
    # Half a voxel is the most that rounding the ball to the grid moves its centre.
    assert brightest_place(first) == pytest.approx((column, row), abs=0.6)
    assert abs(depth_mm) <= SLAB_MM / 2 + 3


def test_the_patient_stands_upright_with_the_right_on_the_left():
    """Right, front and head: a ball in each is where a radiologist looks for it."""
    right, front, head = (-20.0, 0.0, 0.0), (0.0, -18.0, 0.0), (0.0, 0.0, 20.0)
    volume, lungs = chest([(right, 3.0), (front, 3.0), (head, 3.0)])
    pictures = draw(volume, lungs, [])

    def place(plane, point_mm):
        slab = min(pictures.of(plane), key=lambda slab: abs(slab.locate(point_mm)[2]))
        column, row, _ = slab.locate(point_mm)
        return column / slab.width, row / slab.height

    assert place(Plane.AXIAL, right)[0] < 0.35
    assert place(Plane.AXIAL, front)[1] < 0.35
    assert place(Plane.CORONAL, right)[0] < 0.35
    assert place(Plane.CORONAL, head)[1] < 0.35
    assert place(Plane.SAGITTAL, front)[0] < 0.35
    assert place(Plane.SAGITTAL, head)[1] < 0.35


@settings(deadline=None)  # a busy machine is not a fault
@given(
    spacing_mm=st.tuples(st.floats(0.5, 5.0), st.floats(0.5, 1.0), st.floats(0.5, 1.0)),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 3),
)
def test_slabs_cover_the_lungs_end_to_end_with_square_pixels(spacing_mm, signs):
    volume, lungs = chest([], shape=(40, 44, 48), axes=turned((2, 1, 0), signs), spacing_mm=spacing_mm)
    pictures = draw(volume, lungs, [])
    for plane in Plane:
        slabs = pictures.of(plane)
        for one, following in itertools.pairwise(slabs):
            gap_mm = abs(following.depth_mm - one.depth_mm)
            assert gap_mm == pytest.approx((one.thickness_mm + following.thickness_mm) / 2, abs=1e-6)
        for slab in slabs:
            assert slab.thickness_mm <= SLAB_MM + max(spacing_mm) + 1e-6
            assert grey(slab).shape == (slab.height, slab.width)
    axial, coronal = pictures.of(Plane.AXIAL)[0], pictures.of(Plane.CORONAL)[0]
    extent_mm = sum(slab.thickness_mm for slab in pictures.of(Plane.AXIAL))
    assert coronal.height * coronal.pixel_mm == pytest.approx(extent_mm, abs=1.0)
    assert axial.width == coronal.width


def test_grey_is_the_lung_window():
    """-1350 HU is black and 150 HU white: -600 HU is the middle grey."""
    volume, lungs = chest([], air_hu=-600)
    assert grey(draw(volume, lungs, []).slabs[0]).mean() == pytest.approx(127.5, abs=1)


def test_packed_pictures_come_back_and_equal_ones_are_equal_bytes():
    volume, lungs = chest([((0.0, 0.0, 0.0), 4.0)])
    pictures = draw(volume, lungs, [nodule(1)])
    assert Pictures.from_bytes(pictures.to_bytes()) == pictures
    assert draw(volume, lungs, [nodule(1)]).to_bytes() == pictures.to_bytes()


def test_a_noisy_scan_does_not_make_a_huge_page(monkeypatch):
    random = np.random.default_rng(1)
    volume, lungs = chest([])
    volume.hu[:] = random.integers(-1300, 100, volume.hu.shape, dtype=np.int16)
    plain = sum(len(slab.jpeg) for slab in draw(volume, lungs, []).slabs)
    monkeypatch.setattr("imaging.pictures.PAGE_BYTES", int(0.7 * plain))
    assert sum(len(slab.jpeg) for slab in draw(volume, lungs, []).slabs) < 0.7 * plain


def test_no_lung_is_not_drawn():
    volume, lungs = chest([])
    with pytest.raises(ValueError, match="no lung"):
        draw(volume, 0 * lungs, [])
