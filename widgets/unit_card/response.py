"""Where a unit is active in the user's own image, and what the network takes that image for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QSlider, QToolButton

from widgets.theme import set_icon
from widgets.unit_card.section import Section
from widgets.views.axes import number
from widgets.views.bar_list import BarList
from widgets.views.image_view import ImageView
from workbench.jobs.on_image_requests import UnitOnImage
from workbench.models.layer import Unit
from workbench.recompute import of_image

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View
    from workbench.jobs.job import JobEvent
    from workbench.recompute import Recomputation

INVITATION = "Drop an image onto the window, paste one (Ctrl+V), or click a dataset example."


class Response(Section):
    """The dropped image with the unit's activation map over it, and the likeliest classes."""

    measured = Signal(object)
    """The unit's largest activation on the image (float), or None when there is no image."""
    failed = Signal()
    shown = Signal(object)
    """The user's image, once it is known what the unit does on it; None while there is none."""
    position_picked = Signal(object)
    """The position of the activation map that was clicked: row and column, or token, as a tuple."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, "On your image", "Where the unit is active in the image you dropped")
        self.image = ImageView()
        self.classes = BarList()
        self.classes.setAccessibleName("Likeliest classes")
        self.opacity = QSlider(Qt.Orientation.Horizontal, self)
        self.opacity.setRange(0, 100)
        self.opacity.setValue(round(100 * self.image.opacity))
        self.opacity.setFixedWidth(48)
        self.opacity.setToolTip("How much the activation map covers the image")
        self.opacity.setAccessibleName("Opacity of the activation map")
        self.opacity.valueChanged.connect(self._set_opacity)
        self.forget = QToolButton(self)
        set_icon(self.forget, "close")
        self.forget.setAutoRaise(True)
        self.forget.setToolTip("Put the image away")
        self.forget.setAccessibleName("Put the image away")
        self.forget.clicked.connect(lambda: session.drop_image(None))
        self.rank = QToolButton(self)
        set_icon(self.rank, "rank")
        self.rank.setAutoRaise(True)
        self.rank.setAccessibleName("Order the grid by what the units do on this image")
        self.rank.clicked.connect(session.ranking_wanted)
        self.head.addWidget(self.rank)
        self.head.addWidget(self.opacity)
        self.head.addWidget(self.forget)
        self.add(self.image, self.classes)
        self._value: float | None = None  # of this unit on this image, once it is known
        self._found: Mapping[str, Any] = {}
        self._of_twin: float | None = None
        self._values = np.empty(0)  # at every position
        self.image.cell_picked.connect(self._pick_cell)
        self.image.takes_regions = True
        self.image.region_marked.connect(session.look_at_region)
        session.region_changed.connect(self._show_region)
        self._show_region(session.region)
        session.reading_changed.connect(self._say_what_is_known)
        session.twin_changed.connect(self._on_twin)

    def begin(self) -> None:
        """Keep the image, but not what the last unit did on it."""
        self._value = self._of_twin = None
        self._found = {}
        self.image.recomputation = self.classes.recomputation = None
        image = self.session.image
        for widget in (self.rank, self.opacity, self.forget):
            widget.setVisible(image is not None)
        self._show_region(self.session.region)
        self._say_what_is_known()
        if image is None:
            self.image.setFixedHeight(64)
            self.classes.show_shares(())
        else:
            self.image.setFixedHeight(250)
            self.image.show_map(None, caption="…")
        self.measured.emit(None)
        self.shown.emit(None)

    def ask(self) -> None:
        """Ask for the activation of this unit on the image."""
        model, unit, image = self.session.model, self.unit, self.session.image
        if model is not None and unit is not None and image is not None:
            images = self.session.images.ref if self.session.images is not None else None
            self.session.relay.submit(UnitOnImage(model.ref, unit.layer, unit.index, image, images), self._take)
            self._ask_twin()

    def _ask_twin(self) -> None:
        """Ask what the same unit of the random-weight twin does, where that is wanted."""
        unit, image = self.unit, self.session.image
        if self.session.twin_ref and unit is not None and image is not None:
            request = UnitOnImage(self.session.twin_ref, unit.layer, unit.index, image, purpose="inspector twin")
            self.session.relay.submit(request, self._take_twin)

    def _on_twin(self, on: bool) -> None:
        self._of_twin = None
        self._show_caption()
        if on:
            self.ask_once_seen(self._ask_twin)

    def _take_twin(self, event: JobEvent) -> None:
        request = event.request
        assert isinstance(request, UnitOnImage)
        if request.image is not self.session.image or request.model != self.session.twin_ref:
            return
        if event.state == "done" and Unit(request.layer, request.unit) == self.unit:
            self._of_twin = event.result["value"]
            self._show_caption()

    def _show_caption(self) -> None:
        if self._found:
            self.image.set_caption(self._caption(np.asarray(self._found["map"]), self._found))

    def _take(self, event: JobEvent) -> None:
        request = event.request
        assert isinstance(request, UnitOnImage)
        if request.image is not self.session.image or not self.shows(request.model, Unit(request.layer, request.unit)):
            return
        if event.state == "failed":
            self.image.clear(event.error)
            self.failed.emit()
        elif event.state == "done":
            self._value = event.result["value"]
            self._found = event.result
            self._show(event.result)
            self.measured.emit(self._value)
            self.shown.emit(self.session.image)

    def _show(self, found: Mapping[str, Any]) -> None:
        origin = self.made_from(image=self.session.image_name or "given by the user", **{k: found[k] for k in ("value", "percentile", "n")})
        values = self._values = np.asarray(found["map"])
        on = f" on {self.session.image_name}" if self.session.image_name else ""
        title = f"{self.unit} ({self.role}){on}"
        self.image.show_image(found["input"], title=title)
        self.image.show_map(as_map(values), label=self.role, caption=self._caption(values, found), made_from=origin)
        self.classes.show_shares(found["top_classes"], title=f"Likeliest classes{on}", made_from=origin)
        self.image.recomputation = self.classes.recomputation = self._recomputation()
        self._say_what_is_known()

    def _show_region(self, region: tuple[float, float, float, float] | None) -> None:
        self.image.show_region(region)
        self.rank.setToolTip(
            f"Order the grid by what the units do in the {'marked region' if region else 'image'}, as a percentile of the open images"
            + (". Escape takes the region away" if region else ". Drag over the image to mark a region (zoomed: with Shift held)")
        )

    def _recomputation(self) -> Recomputation | None:
        """What shows the image to the network again."""
        model, unit, image = self.session.model, self.unit, self.session.kept_image
        if model is None or unit is None or image is None:
            return None
        return of_image(model.ref, image, unit.layer, unit.index, self.variables())

    def _pick_cell(self, row: int, column: int) -> None:
        shape = as_map(self._values)
        if shape is not None:
            before = self._values.size - shape.size  # a class token stands before the others
            at = (row, column) if self._values.ndim == 2 else (before + row * shape.shape[1] + column,)
            self.position_picked.emit(at)

    def mark(self, position: tuple[int, ...] | None) -> None:
        """Frame the cell of a position: row and column, or token."""
        shape = as_map(self._values)
        if position is None or shape is None or not position:
            self.image.mark_cell(None)
        elif len(position) == 2:
            self.image.mark_cell((position[0], position[1]))
        else:
            place = position[0] - (self._values.size - shape.size)
            self.image.mark_cell(divmod(place, shape.shape[1]) if place >= 0 else None)

    def _say_what_is_known(self) -> None:
        reading = f"Reading {self.session.reading} …" if self.session.reading else ""
        if self.session.image is None:
            self.note.clear()
            self.image.clear(reading or INVITATION)
        else:
            value = number(self._value) if self._value is not None else ""
            self.note.show_text(reading or value, f"largest activation {value}" if value and not reading else "")

    def _caption(self, values: np.ndarray, found: Mapping[str, Any]) -> str:
        """One line: how much, where, and how that compares with the open images."""
        parts = [f"largest {number(found['value'])}"]
        if values.ndim and np.isfinite(values).any():
            at = np.unravel_index(int(np.nanargmax(values)), values.shape)
            parts[0] += f" at ({', '.join(str(int(a)) for a in at)}) of {' × '.join(map(str, values.shape))}"
        if self._of_twin is not None:
            parts.append(f"random-weight twin {number(self._of_twin)}")
        images, share = self.session.images, found["percentile"]
        if images is not None and share is not None and math.isfinite(share):
            parts.append(f"above {100 * share:.1f} % of {images.name} (n = {found['n']:,})")
        return " · ".join(parts)

    def _set_opacity(self, percent: int) -> None:
        self.image.opacity = percent / 100

    def views(self) -> list[View]:
        """The image, and the classes where the network has some."""
        classes = [self.classes] if self.classes.data()["shares"].size else []
        return [self.image, *classes] if self._value is not None else []

    def save_state(self) -> dict[str, Any]:
        """Keep how the image is drawn."""
        return {"opacity": self.opacity.value(), "smooth": self.image.smooth}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.opacity.setValue(int(state.get("opacity", self.opacity.value())))
        self.image.smooth = bool(state.get("smooth", True))


def as_map(values: np.ndarray) -> np.ndarray | None:
    """Lay activations out over the image: a map as it is, a square number of tokens as a square (without a class token), else None."""
    if values.ndim == 2:
        return values
    if values.ndim == 1 and len(values) > 3:
        for extra in (0, 1):
            side = math.isqrt(len(values) - extra)
            if side * side == len(values) - extra:
                return values[extra:].reshape(side, side)
    return None
