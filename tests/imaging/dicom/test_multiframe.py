"""Multi-frame CT: legacy converted as highdicom makes it, enhanced as PS3.3 A.38 lays it out."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage, ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from imaging.dicom import choose_series, derive_uid, read_volume
from records.errors import GeometryError, Reason, ScreeningError
from tests.imaging.dicom.making import chest, export, only_series, only_study


def items(**values) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def enhanced(folder, *, order=None, shared_orientation=True) -> np.ndarray:
    """Write one Enhanced CT file with frames in `order`; return the Hounsfield units to expect."""
    paths = export(folder / "classic", chest(12))
    images = [pydicom.dcmread(path) for path in paths]
    images = [images[place] for place in (order or range(len(images)))]
    out = images[0]
    pixels = np.stack([image.pixel_array for image in images])
    slope = items(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")
    measures = items(PixelSpacing=out.PixelSpacing, SliceThickness=out.SliceThickness)
    orientation = items(ImageOrientationPatient=out.ImageOrientationPatient)
    shared = items(
        PixelMeasuresSequence=[measures],
        PixelValueTransformationSequence=[slope],
        CTImageFrameTypeSequence=[items(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])],
        CTReconstructionSequence=[items(ConvolutionKernel="B31f")],
    )
    frames = []
    for image in images:
        frame = items(
            PlanePositionSequence=[items(ImagePositionPatient=image.ImagePositionPatient)],
            FrameContentSequence=[items(FrameAcquisitionNumber=1)],
        )
        if not shared_orientation:
            frame.PlaneOrientationSequence = [orientation]
        frames.append(frame)
    if shared_orientation:
        shared.PlaneOrientationSequence = [orientation]
    out.SOPClassUID = out.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    out.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    out.NumberOfFrames = len(frames)
    out.SharedFunctionalGroupsSequence = [shared]
    out.PerFrameFunctionalGroupsSequence = frames
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        delattr(out, keyword)
    out.PixelData = pixels.tobytes()
    for path in paths:
        path.unlink()
    out.save_as(folder / "enhanced.dcm")
    return chest(12).hu


@pytest.mark.parametrize("shared_orientation", [True, False])
@pytest.mark.parametrize("order", [None, range(11, -1, -1), [5, 3, 8, 0, 11, 1, 2, 10, 4, 9, 7, 6]])
def test_enhanced_ct_in_any_order_of_frames(tmp_path, order, shared_orientation):
    expected = enhanced(tmp_path, order=order, shared_orientation=shared_orientation)
    choice = choose_series(only_study(tmp_path))
    volume = read_volume(choice.series)
    np.testing.assert_array_equal(volume.hu, expected)
    assert volume.kernel == "B31f"
    assert volume.origin_mm == chest(12).origin_mm
    assert len(set(volume.sop_instance_uids)) == 1


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_compressed_enhanced_ct(tmp_path, syntax):
    expected = enhanced(tmp_path, order=range(11, -1, -1))
    image = pydicom.dcmread(tmp_path / "enhanced.dcm")
    image.compress(syntax)
    image.save_as(tmp_path / "enhanced.dcm")
    np.testing.assert_array_equal(read_volume(only_series(tmp_path)).hu, expected)


def test_enhanced_ct_cut_off_in_its_pixels(tmp_path):
    enhanced(tmp_path)
    path = tmp_path / "enhanced.dcm"
    path.write_bytes(path.read_bytes()[:-5000])
    (damage,) = only_series(tmp_path).damaged
    assert "enhanced.dcm is cut off: 55,296 bytes of pixel data expected, 50,296 found" in damage.sentence


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_more_frames_than_are_described(tmp_path, syntax):
    """A header that claims a hundred million frames takes no memory for them."""
    enhanced(tmp_path)
    image = pydicom.dcmread(tmp_path / "enhanced.dcm")
    if syntax.is_encapsulated:
        image.compress(syntax, generate_instance_uid=False)
    image.NumberOfFrames = 100_000_000
    image.save_as(tmp_path / "enhanced.dcm")
    with pytest.raises(ScreeningError) as caught:
        choose_series(only_study(tmp_path))
    assert caught.value.reason is Reason.UNREADABLE_PIXELS
    assert "says that it holds 100,000,000 frames, and describes 12" in caught.value.sentence


def test_a_frame_without_a_place_is_missing(tmp_path):
    enhanced(tmp_path)
    image = pydicom.dcmread(tmp_path / "enhanced.dcm")
    del image.PerFrameFunctionalGroupsSequence[5].PlanePositionSequence
    image.save_as(tmp_path / "enhanced.dcm")
    with pytest.raises(GeometryError) as caught:
        read_volume(only_series(tmp_path))
    assert caught.value.reason is Reason.SLICES_MISSING


def test_legacy_converted_ct_of_highdicom(tmp_path):
    from highdicom.legacy import LegacyConvertedEnhancedCTImage

    paths = export(tmp_path / "classic", chest(12))
    images = [pydicom.dcmread(path) for path in paths]
    for image, path in zip(images, paths, strict=True):
        image.BurnedInAnnotation = "NO"
        path.unlink()
    converted = LegacyConvertedEnhancedCTImage(
        images,
        series_instance_uid=derive_uid("converted"),
        series_number=9,
        sop_instance_uid=derive_uid("converted", "1"),
        instance_number=1,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    converted.save_as(tmp_path / "converted.dcm")
    volume = read_volume(choose_series(only_study(tmp_path)).series)
    np.testing.assert_array_equal(volume.hu, chest(12).hu)
    assert volume.spacing_mm == (2.5, 6.0, 6.0)


def test_the_energy_of_a_monoenergetic_file_is_read(tmp_path):
    enhanced(tmp_path)
    image = pydicom.dcmread(tmp_path / "enhanced.dcm")
    energy = items(MonoenergeticEnergyEquivalent=70.0)
    image.SharedFunctionalGroupsSequence[0].MultienergyCTCharacteristicsSequence = [energy]
    image.save_as(tmp_path / "enhanced.dcm")
    assert {frame.reconstruction.energy_kev for frame in only_series(tmp_path).frames} == {70.0}
