"""The reading room on the screen: the only code that loads napari and Qt."""
