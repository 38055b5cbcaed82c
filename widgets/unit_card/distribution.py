"""How often a unit is how active on the open images, and where your own image falls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtWidgets import QComboBox

from widgets.unit_card.examples import quantile_range
from widgets.unit_card.section import Section
from widgets.views.axes import number
from widgets.views.histogram import Band, Histogram

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View


class Distribution(Section):
    """The activation histogram, over images (largest activation of each) or over positions."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, "Activation histogram", "How often the unit is how active on the open image set")
        self.histogram = Histogram()
        self.histogram.setFixedHeight(220)
        self.counted = QComboBox(self)
        self.counted.addItem("images", "max_histogram")
        self.counted.addItem("positions", "histogram")
        self.counted.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.counted.setMinimumContentsLength(6)
        self.counted.setToolTip(
            "What is counted: the largest activation in each image, or the activation at some seeded positions of each"
        )
        self.counted.setAccessibleName("What the histogram counts")
        self.counted.currentIndexChanged.connect(lambda _index: self._show())
        self.head.addWidget(self.counted)
        self.add(self.histogram)
        self._found: Mapping[str, Any] = {}
        self._value: float | None = None

    def begin(self) -> None:
        """Show nothing yet."""
        self._value = None
        self.show_found({})

    def show_found(self, found: Mapping[str, Any]) -> None:
        """Show what is known of the unit from the images, as of `UnitExamples`."""
        self._found = found
        self._show()

    def mark(self, value: float | None) -> None:
        """Mark the activation of the user's own image; None for no image."""
        self._value = value
        self.histogram.set_marker(value, f"your image {number(value)}" if value is not None else "")

    def _show(self) -> None:
        kind, images = self.counted.currentData(), self.session.images
        counts = self._found.get(kind)
        self.counted.setVisible(counts is not None)
        self.histogram.recomputation = None
        if counts is None or images is None or not np.any(counts):
            self.histogram.clear("The histogram comes with the dataset examples.")
            self.histogram.setFixedHeight(48)
            return
        self.histogram.setFixedHeight(220)
        filled = np.flatnonzero(counts)
        part = slice(int(filled[0]), int(filled[-1]) + 1)
        of_images = kind == "max_histogram"
        seen = int(np.sum(self._found["max_histogram"]))
        active = float(self._found["active_images" if of_images else "sparsity"])
        note = f"n = {seen:,} images" + ("" if of_images else f", {int(counts.sum()):,} positions")
        self.histogram.show_counts(
            self._found[f"{kind}_edges"][part.start : part.stop + 1],
            counts[part],
            title=f"Histogram of {self.unit}",
            label=f"largest {self.role} of an image" if of_images else self.role,
            counted="images" if of_images else "positions",
            note=note + (f" · {100 * active:.0f} % above 0" if math.isfinite(active) else ""),
            bands=self._bands() if of_images else (),
            made_from=self.made_from(
                images=images.ref,
                images_hash=images.content_hash,
                n=seen,
                quantity=kind,
                null_level="none: no random-weight twin of this network was swept",
            ),
        )
        self.histogram.recomputation = self.sweep_recomputation(self._found, (kind, f"{kind}_edges", "range_edges"))
        self.mark(self._value)

    def _bands(self) -> list[Band]:
        """The ranges that the sampled examples come from."""
        edges = self._found.get("range_edges")
        if edges is None or not np.isfinite(edges).all():
            return []
        ranges = len(edges) - 1
        return [Band(quantile_range(i, ranges), float(edges[i]), float(edges[i + 1])) for i in range(ranges)]

    def views(self) -> list[View]:
        """The histogram, when there is one."""
        return [self.histogram] if self.histogram.data()["counts"].size else []

    def save_state(self) -> dict[str, Any]:
        """Keep what is counted, and the axis."""
        return {"counted": self.counted.currentData(), "logarithmic": self.histogram.logarithmic}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.counted.setCurrentIndex(max(0, self.counted.findData(state.get("counted"))))
        self.histogram.logarithmic = bool(state.get("logarithmic", True))
