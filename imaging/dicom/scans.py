"""Images parted by the coordinates that their places are given in."""

from collections.abc import Sequence

from imaging.dicom.files import Frame

__all__ = ["scans_of"]


def scans_of(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Part images by their frame of reference; those that name none are left out where others name several.

    A series shall have one (DICOM PS3.3 C.7.4.1.1.1). Once the patient lies on the table anew there is
    another, and the same millimetres are another place: such images make no volume together, however well
    they seem to fit. Where no two images share one, as some anonymisers write, it says nothing.
    """
    scans: dict[str, list[Frame]] = {}
    for frame in frames:
        scans.setdefault(frame.frame_of_reference_uid, []).append(frame)
    named = [scan for reference, scan in scans.items() if reference]
    return named if 1 < len(named) < sum(map(len, named)) else [list(frames)]
