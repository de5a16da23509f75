"""What the keys do to the images: one method an action of `viewer.actions`."""

from viewer.layers import SLABS_MM, WINDOWS
from viewer.window.images import FAR_MM, Images, Tool

__all__ = ["ImageActions"]


class ImageActions:
    """The actions that need nothing but the images."""

    images: Images

    def do_slice_up(self) -> None:
        """Go one slice up."""
        self.images.step(self.images.active, -1)

    def do_slice_down(self) -> None:
        """Go one slice down."""
        self.images.step(self.images.active, 1)

    def do_page_up(self) -> None:
        """Go 10 mm up."""
        self.images.step(self.images.active, -self._page())

    def do_page_down(self) -> None:
        """Go 10 mm down."""
        self.images.step(self.images.active, self._page())

    def _page(self) -> int:
        view = self.images.active
        return max(1, round(FAR_MM / view.shown.spacing_mm[view.plane.order[0]])) if view.shown else 1

    def do_first_slice(self) -> None:
        """Go to the first slice."""
        self.images.step(self.images.active, -100_000)

    def do_last_slice(self) -> None:
        """Go to the last slice."""
        self.images.step(self.images.active, 100_000)

    def do_cine(self) -> None:
        """Play or stop."""
        self.images.toggle_cine()

    def do_slower(self) -> None:
        """Play slower."""
        self.images.change_speed(-1)

    def do_faster(self) -> None:
        """Play faster."""
        self.images.change_speed(1)

    def do_axial(self) -> None:
        """Let the axial plane take the keys."""
        self.images.activate(self.images.views[0])

    def do_coronal(self) -> None:
        """Let the coronal plane take the keys."""
        self.images.activate(self.images.views[1])

    def do_sagittal(self) -> None:
        """Let the sagittal plane take the keys."""
        self.images.activate(self.images.views[2])

    def do_other_scan(self) -> None:
        """Let the scan beside take the keys."""
        if self.images.beside.shown is not None:
            self.images.activate(self.images.beside)

    def do_cross_left(self) -> None:
        """Move the crosshair."""
        self.images.move_cross(-1, 0)

    def do_cross_right(self) -> None:
        """Move the crosshair."""
        self.images.move_cross(1, 0)

    def do_cross_up(self) -> None:
        """Move the crosshair."""
        self.images.move_cross(0, -1)

    def do_cross_down(self) -> None:
        """Move the crosshair."""
        self.images.move_cross(0, 1)

    def do_cross_far_left(self) -> None:
        """Move the crosshair."""
        self.images.move_cross(-1, 0, far=True)

    def do_cross_far_right(self) -> None:
        """Move the crosshair."""
        self.images.move_cross(1, 0, far=True)

    def do_cross_far_up(self) -> None:
        """Move the crosshair."""
        self.images.move_cross(0, -1, far=True)

    def do_cross_far_down(self) -> None:
        """Move the crosshair."""
        self.images.move_cross(0, 1, far=True)

    def do_crosshair(self) -> None:
        """Show or hide the crosshair."""
        for view in (*self.images.views, self.images.beside):
            view.shows_cross = not view.shows_cross
            view.overlay.update()

    def do_window_lung(self) -> None:
        """Show the lung window."""
        self.images.set_window(WINDOWS["lung"])

    def do_window_mediastinum(self) -> None:
        """Show the mediastinal window."""
        self.images.set_window(WINDOWS["mediastinum"])

    def do_window_bone(self) -> None:
        """Show the bone window."""
        self.images.set_window(WINDOWS["bone"])

    def do_wider(self) -> None:
        """Widen the window."""
        self.images.change_window(1, 0)

    def do_narrower(self) -> None:
        """Narrow the window."""
        self.images.change_window(-1, 0)

    def do_brighter(self) -> None:
        """Make the picture brighter."""
        self.images.change_window(0, 1)

    def do_darker(self) -> None:
        """Make the picture darker."""
        self.images.change_window(0, -1)

    def do_slab(self) -> None:
        """Show a thicker slab."""
        self.images.next_slab()

    def do_thin(self) -> None:
        """Show thin slices."""
        self.images.set_slab(SLABS_MM[0])

    def do_zoom_in(self) -> None:
        """Come closer."""
        self.images.active.zoom(1.25)

    def do_zoom_out(self) -> None:
        """Go farther."""
        self.images.active.zoom(0.8)

    def do_fit(self) -> None:
        """Show whole images."""
        for view in self.images.all_views:
            view.fit()

    def do_ruler(self) -> None:
        """Take the ruler."""
        self.images.set_tool(Tool.RULER)

    def do_place_point(self) -> None:
        """Put an end of the ruler at the crosshair."""
        self.images.place_point()

    def do_remove_ruler(self) -> None:
        """Remove the last ruler."""
        self.images.remove_ruler()

    def do_probe(self) -> None:
        """Take the probe."""
        self.images.set_tool(Tool.PROBE)

    def do_link(self) -> None:
        """Link both scans, or let each go its own way."""
        self.images.is_linked = not self.images.is_linked
        self.images.go_to(self.images.place_mm)
