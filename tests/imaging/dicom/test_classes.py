"""UIDs and tags against pydicom's dictionaries, and that headers are read without pydicom."""

import subprocess
import sys

import pydicom.uid
import pytest
from pydicom.datadict import tag_for_keyword

from imaging.dicom import classes
from imaging.dicom.values import TAG

KEYWORDS = {
    "CT_IMAGE": "CTImageStorage",
    "DEFLATED_EXPLICIT_LITTLE": "DeflatedExplicitVRLittleEndian",
    "ENHANCED_CT_IMAGE": "EnhancedCTImageStorage",
    "EXPLICIT_BIG": "ExplicitVRBigEndian",
    "EXPLICIT_LITTLE": "ExplicitVRLittleEndian",
    "HTJ2K": "HTJ2K",
    "HTJ2K_LOSSLESS": "HTJ2KLossless",
    "HTJ2K_LOSSLESS_RPCL": "HTJ2KLosslessRPCL",
    "IMPLICIT_LITTLE": "ImplicitVRLittleEndian",
    "JPEG_2000_LOSSLESS": "JPEG2000Lossless",
    "JPEG_2000_LOSSY": "JPEG2000",
    "JPEG_LOSSLESS_ANY": "JPEGLossless",
    "JPEG_LOSSLESS_FIRST": "JPEGLosslessSV1",
    "JPEG_LS_LOSSLESS": "JPEGLSLossless",
    "JPEG_LS_NEAR_LOSSLESS": "JPEGLSNearLossless",
    "LEGACY_ENHANCED_CT_IMAGE": "LegacyConvertedEnhancedCTImageStorage",
    "MEDIA_DIRECTORY": "MediaStorageDirectoryStorage",
}


@pytest.mark.parametrize("name", sorted(set(classes.__all__) - {"NATIVE", "CT_CLASSES"}))
def test_a_uid_is_the_one_of_the_standard(name):
    assert getattr(classes, name) == getattr(pydicom.uid, KEYWORDS[name])


def test_native_is_what_is_not_encapsulated():
    syntaxes = [uid for uid in pydicom.uid.AllTransferSyntaxes if not uid.is_encapsulated]
    assert set(syntaxes) == classes.NATIVE


@pytest.mark.parametrize("keyword", TAG)
def test_a_tag_is_the_one_of_the_dictionary(keyword):
    assert TAG[keyword] == tag_for_keyword(keyword)


def test_the_border_is_loaded_without_pydicom():
    code = "import sys, imaging.dicom; print('pydicom' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
