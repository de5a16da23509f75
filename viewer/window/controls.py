"""A small widget for any napari viewer: the usual CT windows, and slabs of the brightest voxels."""

from napari import Viewer
from napari.layers import Image
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from viewer.layers import SLABS_MM, WINDOWS, Window

__all__ = ["CTControls"]


class CTControls(QWidget):
    """Buttons for windows and slabs of all images in a viewer."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        layout = QVBoxLayout(self)
        windows, slabs = QHBoxLayout(), QHBoxLayout()
        for window in WINDOWS.values():
            button = QPushButton(window.name.capitalize())
            button.clicked.connect(lambda _, window=window: self.set_window(window))
            windows.addWidget(button)
        for slab_mm in SLABS_MM:
            button = QPushButton("thin" if slab_mm <= 1 else f"MIP {slab_mm:g} mm")
            button.clicked.connect(lambda _, slab_mm=slab_mm: self.set_slab(slab_mm))
            slabs.addWidget(button)
        layout.addLayout(windows)
        layout.addLayout(slabs)

    def set_window(self, window: Window) -> None:
        """Show all images in a window."""
        for layer in self._images():
            layer.contrast_limits_range = (-3000.0, 4000.0)
            layer.contrast_limits = window.limits_hu

    def set_slab(self, slab_mm: float) -> None:
        """Show the brightest of so many millimetres across the slices; 1 mm is the slice as scanned."""
        is_thin = slab_mm <= 1.0
        for layer in self._images():
            layer.projection_mode = "none" if is_thin else "max"
        dims = self._viewer.dims
        across = set(range(dims.ndim)) - set(dims.displayed)
        dims.thickness = tuple(
            slab_mm if axis in across and not is_thin else 0.0 for axis in range(dims.ndim)
        )

    def _images(self) -> list[Image]:
        return [layer for layer in self._viewer.layers if isinstance(layer, Image)]
