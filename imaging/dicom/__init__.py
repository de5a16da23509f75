"""The border with DICOM: intake, choice of series, volumes in Hounsfield units."""
