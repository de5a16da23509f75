"""Pixels become Hounsfield units whatever the storage, and a file that lies is named."""

import dataclasses

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from imaging.dicom import choose_series, read_volume
from records.errors import Reason, ScreeningError
from tests.imaging.dicom.making import UPRIGHT, chest, edit, export, only_series, only_study, setting


def stored_as(dtype: str, *, slope: float, intercept: float, bits: int = 16):
    """Return a change that stores the same Hounsfield units another way."""

    def change(image):
        hu = image.pixel_array.astype(np.float64) - 1024
        image.PixelData = np.rint((hu - intercept) / slope).astype(dtype).tobytes()
        image.PixelRepresentation = int(dtype == "<i2")
        image.RescaleSlope, image.RescaleIntercept = slope, intercept
        image.BitsStored, image.HighBit = bits, bits - 1

    return change


def read(folder):
    return read_volume(only_series(folder))


def refusal(folder) -> tuple[Reason, str]:
    with pytest.raises(ScreeningError) as caught:
        read_volume(choose_series(only_study(folder)).series)
    return caught.value.reason, caught.value.sentence


@pytest.mark.parametrize(
    ("change", "within_hu"),
    [
        pytest.param(stored_as("<i2", slope=1, intercept=0), 0, id="signed"),
        pytest.param(stored_as("<u2", slope=1, intercept=-1024), 0, id="unsigned"),
        pytest.param(stored_as("<u2", slope=1, intercept=-8192), 0, id="unsigned-siemens-extended"),
        pytest.param(stored_as("<u2", slope=1, intercept=-1024, bits=12), 0, id="12-bits"),
        pytest.param(stored_as("<i2", slope=0.5, intercept=-1000.5), 0.5, id="slope-of-a-half"),
        pytest.param(stored_as("<u2", slope=1.53, intercept=-1024.25), 1.3, id="slope-of-a-pet-ct"),
        pytest.param(setting(PhotometricInterpretation="MONOCHROME1"), 0, id="monochrome-1"),
        pytest.param(setting(RescaleType=None), 0, id="no-rescale-type"),
    ],
)
def test_any_storage_gives_the_same_hounsfield_units(tmp_path, change, within_hu):
    edit(export(tmp_path), change)
    difference = read(tmp_path).hu.astype(int) - chest().hu
    assert np.abs(difference).max() <= within_hu


def test_bits_above_the_stored_ones_are_not_the_pixel(tmp_path):
    def overlay(image):  # old scanners kept an overlay in bits 12-15
        stored_as("<u2", slope=1, intercept=-1024, bits=12)(image)
        pixels = np.frombuffer(image.PixelData, "<u2") | 0x8000
        image.PixelData = pixels.tobytes()

    edit(export(tmp_path), overlay)
    np.testing.assert_array_equal(read(tmp_path).hu, chest().hu)


def test_signed_12_bits_keep_their_sign(tmp_path):
    def narrow(image):
        pixels = np.clip(image.pixel_array - 1024, -1000, 1000) & 0x0FFF
        image.PixelData = pixels.astype("<u2").tobytes()
        image.BitsStored, image.HighBit, image.RescaleIntercept = 12, 11, 0

    edit(export(tmp_path), narrow)
    np.testing.assert_array_equal(read(tmp_path).hu, np.clip(chest().hu, -1000, 1000))


def test_every_slice_has_its_own_rescale(tmp_path):
    for number, path in enumerate(export(tmp_path)):
        edit(path, stored_as("<i2", slope=1 + number / 100, intercept=-number))
    difference = read(tmp_path).hu.astype(int) - chest().hu
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("padding", [-2000, 63536, -32768, 32767, 1024])
def test_padding_outside_the_field_of_view_is_air(tmp_path, padding):
    """63536 is -2000 with the VR of an unsigned image, as in LIDC-IDRI-0001; 1024 is water's value."""
    row, column = np.mgrid[-1:1:48j, -1:1:48j]
    outside = row**2 + column**2 > 1
    pattern = np.array(padding).astype(np.uint16).view(np.int16)

    def pad(image):
        pixels = image.pixel_array.copy()
        pixels[outside] = pattern
        image.PixelData = pixels.tobytes()
        image.add_new("PixelPaddingValue", "US" if padding > 32767 else "SS", padding)

    edit(export(tmp_path), pad)
    volume = read(tmp_path)
    assert (volume.hu[:, outside] == -1024).all()
    np.testing.assert_array_equal(volume.hu[:, ~outside], chest().hu[:, ~outside])


def test_undeclared_padding_below_air_does_not_wrap_around(tmp_path):
    def pad(image):  # -32768 + -1024 would be +31744 in 16 bits
        pixels = image.pixel_array.copy()
        pixels[:4] = -32768
        image.PixelData = pixels.tobytes()

    edit(export(tmp_path), pad)
    assert (read(tmp_path).hu[:, :4] == -1024).all()


def test_the_volume_knows_where_it_comes_from(tmp_path):
    paths = export(tmp_path)
    volume = read(tmp_path)
    images = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    assert volume.sop_instance_uids == tuple(image.SOPInstanceUID for image in images)
    assert volume.series_uid == images[0].SeriesInstanceUID
    assert volume.frame_of_reference_uid == images[0].FrameOfReferenceUID
    assert volume.spacing_mm == pytest.approx((2.5, 6.0, 6.0))
    assert (volume.slice_thickness_mm, volume.kernel, volume.notes) == (2.5, "STANDARD", ())


def test_a_scan_that_goes_on_in_other_coordinates_is_not_read_on(tmp_path):
    """The upper images lie where the lower ones end, in millimetres from another zero of the table."""
    paths = export(tmp_path)
    edit(paths[14:], setting(FrameOfReferenceUID="1.2.3"))
    volume = read(tmp_path)
    np.testing.assert_array_equal(volume.hu, chest().hu[:14])
    (lower,) = {pydicom.dcmread(path, stop_before_pixels=True).FrameOfReferenceUID for path in paths[:14]}
    assert volume.frame_of_reference_uid == lower
    assert volume.notes == (
        "the series holds 2 scans that share no coordinates (Frame of Reference UID); "
        "one with 14 of 24 images was taken",
    )


@settings(max_examples=16, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    along=st.sampled_from([1, -1]), down=st.sampled_from([1, -1]), feet_first=st.booleans(), data=st.data()
)
def test_the_anatomy_is_the_same_however_the_patient_lay(tmp_path_factory, along, down, feet_first, data):
    """Mirrored rows, columns or planes on disk are one body in the patient's frame."""
    body = chest(12)
    flips = (-1 if feet_first else 1, down, along)
    hu = body.hu[:: flips[0], :: flips[1], :: flips[2]]
    last = (np.array(body.hu.shape) - 1) * body.spacing_mm * (np.array(flips) < 0)
    lying = dataclasses.replace(
        body,
        hu=hu,
        axes=UPRIGHT * np.array(flips)[:, None],
        origin_mm=tuple(np.array(body.origin_mm) + last @ UPRIGHT),
    )
    folder = tmp_path_factory.mktemp("lying")
    paths = export(folder, lying)
    for number, path in enumerate(data.draw(st.permutations(paths))):
        path.rename(folder / f"{number}.img")
    volume = read(folder)
    assert volume.axes[0][2] == 1
    back = volume.hu[:, ::down, ::along]
    np.testing.assert_array_equal(back, body.hu)
    corner = np.array(volume.origin_mm) - (last * [0, 1, 1]) @ UPRIGHT
    np.testing.assert_allclose(corner, body.origin_mm, atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(setting(RescaleIntercept=0), id="intercept-lost"),
        pytest.param(setting(RescaleIntercept=-2048), id="intercept-twice"),
        pytest.param(setting(RescaleSlope=2), id="slope-twice"),
        pytest.param(setting(RescaleSlope=-1), id="inverted"),
        pytest.param(lambda image: setattr(image, "PixelData", bytes(48 * 48 * 2)), id="empty-image"),
    ],
)
def test_values_that_are_not_those_of_a_chest(tmp_path, change):
    edit(export(tmp_path), change)
    reason, sentence = refusal(tmp_path)
    assert reason is Reason.NOT_HU
    assert "at least 1% expected" in sentence


@pytest.mark.parametrize("off_hu", [-1024, -400, 400, 1024])
@pytest.mark.parametrize("which", [slice(7, 8), slice(0, 24, 5), slice(12, 24), slice(23, 24)], ids=str)
def test_slices_on_another_scale_than_their_neighbours_are_refused(tmp_path, off_hu, which):
    """A miliary scan of which every fifth slice was 1024 HU off counted half of its nodules: not_mipc."""
    edit(export(tmp_path)[which], lambda image: setattr(image, "RescaleIntercept", -1024 + off_hu))
    reason, sentence = refusal(tmp_path)
    assert reason is Reason.NOT_HU
    assert "not on one scale" in sentence


def blank(image):
    image.PixelData = bytes(48 * 48 * 2)


def test_blank_slices_amid_the_others_are_missing_slices(tmp_path):
    edit(export(tmp_path)[5:20:3], blank)
    assert refusal(tmp_path) == (
        Reason.SLICES_MISSING,
        "slices that are blank, amid others that are not: 5",
    )


def test_blank_slices_at_the_ends_are_read(tmp_path):
    """A scan that was resampled may end in planes without a measured value."""
    paths = export(tmp_path)
    edit([paths[0], paths[1], paths[-1]], blank)
    assert read(tmp_path).hu.shape[0] == 24


def spoil_codestream(image):
    data = bytearray(image.PixelData)
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    image.PixelData = bytes(data)


def half_codestream(image):
    image.PixelData = pydicom.encaps.encapsulate([image.PixelData[16 : len(image.PixelData) // 3 * 2]])


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("spoil", [spoil_codestream, half_codestream])
def test_a_corrupt_codestream_is_named(tmp_path, syntax, spoil):
    paths = export(tmp_path, transfer_syntax=syntax)
    edit(paths[7], spoil)
    reason, sentence = refusal(tmp_path)
    assert reason is Reason.UNREADABLE_PIXELS
    assert paths[7].name in sentence


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless])
def test_a_codestream_of_another_size_is_refused_before_memory_is_asked_for(tmp_path, syntax):
    paths = export(tmp_path, transfer_syntax=syntax)
    edit(paths, setting(Rows=40, Columns=40))
    reason, sentence = refusal(tmp_path)
    assert reason is Reason.UNREADABLE_PIXELS
    assert "the header says 40 x 40 pixels, its codestream 48 x 48" in sentence


def test_a_file_that_is_gone_after_the_intake_is_named(tmp_path):
    paths = export(tmp_path)
    series = only_series(tmp_path)
    paths[4].unlink()
    with pytest.raises(ScreeningError) as caught:
        read_volume(series)
    assert caught.value.reason is Reason.UNREADABLE_PIXELS
    assert paths[4].name in caught.value.sentence
    assert "series 2" in caught.value.__notes__[0]
