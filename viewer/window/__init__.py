"""The reading room on the screen: the only code that loads napari and Qt.

napari comes first: PySide reads the source of what is imported after it, and pydantic, which napari brings,
can't be read half made.
"""

import napari.viewer  # noqa: F401
