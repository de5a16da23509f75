"""Screening of chest CT: from DICOM files to a verdict on miliary carcinomatosis."""
