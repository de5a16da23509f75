"""Everything the reading room can do, with the key for it: the help overlay is this table."""

from dataclasses import dataclass

__all__ = ["ACTIONS", "Action"]


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do.

    Attributes
    ----------
    name : str
        The method of the room, after `do_`.
    keys : tuple of str
        In Qt's spelling; any of them.
    """

    name: str
    keys: tuple[str, ...]
    group: str
    sentence: str


ACTIONS = (
    Action("slice_up", ("Up",), "Move", "Slice towards the head, front or right (also the wheel)"),
    Action("slice_down", ("Down",), "Move", "Slice towards the feet, back or left"),
    Action("page_up", ("PgUp",), "Move", "10 mm up"),
    Action("page_down", ("PgDown",), "Move", "10 mm down"),
    Action("first_slice", ("Home",), "Move", "First slice"),
    Action("last_slice", ("End",), "Move", "Last slice"),
    Action("cine", ("Space",), "Move", "Cine: play, stop"),
    Action("slower", ("[",), "Move", "Cine slower"),
    Action("faster", ("]",), "Move", "Cine faster"),
    Action("axial", ("A",), "Move", "Axial plane takes the keys"),
    Action("coronal", ("C",), "Move", "Coronal plane takes the keys"),
    Action("sagittal", ("G",), "Move", "Sagittal plane takes the keys"),
    Action("other_scan", ("O",), "Move", "The scan beside takes the keys"),
    Action("cross_left", ("Shift+Left",), "Crosshair", "Crosshair 1 voxel left (click puts it anywhere)"),
    Action("cross_right", ("Shift+Right",), "Crosshair", "Crosshair 1 voxel right"),
    Action("cross_up", ("Shift+Up",), "Crosshair", "Crosshair 1 voxel up"),
    Action("cross_down", ("Shift+Down",), "Crosshair", "Crosshair 1 voxel down"),
    Action("cross_far_left", ("Ctrl+Shift+Left",), "Crosshair", "Crosshair 10 mm left"),
    Action("cross_far_right", ("Ctrl+Shift+Right",), "Crosshair", "Crosshair 10 mm right"),
    Action("cross_far_up", ("Ctrl+Shift+Up",), "Crosshair", "Crosshair 10 mm up"),
    Action("cross_far_down", ("Ctrl+Shift+Down",), "Crosshair", "Crosshair 10 mm down"),
    Action("crosshair", ("X",), "Crosshair", "Show or hide the crosshair"),
    Action("window_lung", ("L",), "Show", "Lung window, -600 / 1500 (right drag: own window)"),
    Action("window_mediastinum", ("M",), "Show", "Mediastinal window, 40 / 400"),
    Action("window_bone", ("B",), "Show", "Bone window, 400 / 1800"),
    Action("wider", ("Ctrl+Right",), "Show", "Window wider"),
    Action("narrower", ("Ctrl+Left",), "Show", "Window narrower"),
    Action("brighter", ("Ctrl+Up",), "Show", "Brighter"),
    Action("darker", ("Ctrl+Down",), "Show", "Darker"),
    Action("slab", ("S",), "Show", "Slab MIP: 1, 5, 10, 15 mm in turn"),
    Action("thin", ("Shift+S",), "Show", "Thin again"),
    Action("zoom_in", ("+", "="), "Show", "Closer (also Ctrl + wheel)"),
    Action("zoom_out", ("-",), "Show", "Farther"),
    Action("fit", ("Z",), "Show", "Whole images"),
    Action("ruler", ("R",), "Measure", "Ruler: long axis, then short axis; drag, or keys with Enter"),
    Action("place_point", ("Return", "Enter"), "Measure", "Put an end of the ruler at the crosshair"),
    Action("take_value", ("V",), "Measure", "Write the ruler's millimetres into the field last used"),
    Action("remove_ruler", ("Del",), "Measure", "Remove the last ruler"),
    Action("find_lesion", ("J",), "Measure", "Jump to where the field's lesion was measured, now or before"),
    Action("probe", ("P",), "Measure", "HU at the crosshair, mean of 2 mm"),
    Action("leave", ("Esc",), "Measure", "Leave the tool or the text field; back to the images"),
    Action("beside", ("F",), "Compare", "Earlier or next scan beside this one, or away"),
    Action("link", ("K",), "Compare", "Link of both scans on, off"),
    Action("next_field", ("Tab",), "Form", "Next field (its keys are printed on it)"),
    Action("previous_field", ("Shift+Tab",), "Form", "Field before"),
    Action("add_target", ("Ctrl+T",), "Form", "Add a target (baseline)"),
    Action("add_non_target", ("Ctrl+G",), "Form", "Add a non-target (baseline)"),
    Action("add_new_lesion", ("Ctrl+L",), "Form", "Add a new lesion (follow-up)"),
    Action("remove_lesion", ("Ctrl+Del",), "Form", "Remove the lesion of the field in use"),
    Action("undo", ("Ctrl+Z",), "Form", "Undo"),
    Action("redo", ("Ctrl+Y", "Ctrl+Shift+Z"), "Form", "Redo"),
    Action("sign", ("Ctrl+Return",), "Case", "Sign: locks the read"),
    Action("amend", ("Ctrl+E",), "Case", "Amend a signed read, with a reason"),
    Action("next_case", ("Ctrl+N",), "Case", "Next read that is open"),
    Action("case_down", ("Ctrl+PgDown",), "Case", "Next line of the worklist"),
    Action("case_up", ("Ctrl+PgUp",), "Case", "Line before"),
    Action("marks", ("Ctrl+M",), "Case", "The machine's marks, after signing, where the protocol allows"),
    Action("help", ("F1", "?"), "Case", "This page"),
)
