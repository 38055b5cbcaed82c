"""What the tuning analysis found of a unit beside its radial tuning, one figure at a time: maps, the hue wheel, from corner to arc."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtWidgets import QComboBox, QStackedWidget, QVBoxLayout, QWidget

from widgets.choice_box import choice_box
from widgets.views.axes import number
from widgets.views.axis_map import Axis, AxisMap
from widgets.views.morph_plot import MorphPlot
from widgets.views.polar_plot import PolarPlot
from workbench.images.colour import oklch_to_srgb
from workbench.recompute import of_result
from workbench.tuned.band import known, told, within

if TYPE_CHECKING:
    from widgets.views.view import View
    from workbench.analyses.analysis import Result

FIGURES = {
    "levels": ("Orientation × radius, length …", "The stimuli as they turn, and what else is varied of them"),
    "frequency": ("Orientation × frequency", "Gratings of all orientations and some frequencies, the best of four phases"),
    "hue": ("Hue wheel", "Patches of one colour as large as what the unit sees, above a grey one"),
    "position": ("Position map", "The stimulus that the unit prefers, moved about in what it sees"),
    "morph": ("Curve-to-angle morph", "A corner that is rounded until it is an arc of the same length and turn"),
}
ANY_KIND = ("frequency", "hue")
"""Figures whose stimuli are the same whatever kind is turned."""
OF_TURNED = "This kind of stimulus has no orientation to turn; orientation × frequency and the hue wheel are the same for all kinds."
UNITS = {"radius": "of the side", "length": "of the side", "angle": "°", "frequency": "cycles a side", "high": "cycles a side"}
GROUND = "response above the ground"
LEAST_HUE = 0.05
"""Of a unit's best response: the hue wheel stands for at least so much, or a colour that does nothing would look like much."""


class TuningFigures(QWidget):
    """A box that says which figure is looked at, and the figure; all of them are of one result, so choosing computes nothing."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._result: Result | None = None
        self._names: tuple[str, ...] = ()
        self._ranked: Result | None = None
        self._origin: Mapping[str, object] = {}
        self._kind_of_its_own = True
        self.choice = choice_box(QComboBox(self), FIGURES, "Which figure of the unit", self._show)
        self.map = AxisMap(self)
        self.hue = PolarPlot(self)
        self.hue.setAccessibleName("Hue wheel")
        self.morph = MorphPlot(self)
        self._stack = QStackedWidget(self)
        for view in (self.map, self.hue, self.morph):
            self._stack.addWidget(view)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addWidget(self.choice)
        whole.addWidget(self._stack, 1)
        self._show()

    @property
    def view(self) -> AxisMap | PolarPlot | MorphPlot:
        """The figure that is looked at."""
        views: dict[str, AxisMap | PolarPlot | MorphPlot] = {"hue": self.hue, "morph": self.morph}
        return views.get(self.choice.currentData(), self.map)

    def views(self) -> list[View]:
        """Return it where there is something to see."""
        return [self.view] if self.view.data() else []

    def show_result(
        self,
        result: Result,
        names: Sequence[str],
        origin: Mapping[str, object],
        of_kind: bool,
        ranked: Result | None = None,
    ) -> None:
        """Show what was found.

        Parameters
        ----------
        names
            What the units that were looked at are called, the first one first.
        origin
            Provenance of every figure.
        of_kind
            Whether the stimuli are of the kind that stands beside; otherwise only what is the same for all kinds is shown.
        ranked
            The layer's ranking, from which what random-weight twins do is taken; None before there is one.
        """
        self._ranked = ranked
        self._result, self._names, self._origin, self._kind_of_its_own = result, tuple(names), origin, of_kind
        self._show()

    def clear(self, message: str = "") -> None:
        """Show nothing but a message."""
        self._result = None
        for view in (self.map, self.hue, self.morph):
            view.clear(message)

    def _show(self) -> None:
        """Draw the chosen figure."""
        view, chosen = self.view, self.choice.currentData()
        self._stack.setCurrentWidget(view)
        self.choice.setToolTip(FIGURES[chosen][1])
        if self._result is None:
            return
        if not (self._kind_of_its_own or chosen in ANY_KIND):
            view.clear(OF_TURNED)
            return
        view.recomputation = of_result(self._result, self._result.summary["layer"])
        if chosen == "hue":
            self._show_hue(self._result)
        elif chosen == "morph":
            self._show_morph(self._result)
        else:
            self._show_map(self._result, chosen)

    def _band(self, name: str) -> np.ndarray | None:
        """Return what twins do, once the layer was ranked."""
        found = known(self._ranked.arrays[f"null_{name}"]) if self._ranked is not None else np.empty(0)
        return found if len(found) else None

    def _twins(self, name: str) -> str:
        """Say where the twins are, once the layer was ranked."""
        return f" ({within(self._ranked.arrays[f'null_{name}'])})" if self._ranked is not None else ""

    def _made_from(self) -> dict[str, object]:
        """Return the provenance of a figure, with the run that the twins are from."""
        return {**self._origin, "twins": dict(self._ranked.parameters) if self._ranked is not None else "not computed"}

    def _address(self, result: Result) -> str:
        return f"{result.summary['layer']}:{int(result.arrays['units'][0])}"

    def _show_map(self, result: Result, chosen: str) -> None:
        arrays, summary = result.arrays, result.summary
        note, merit = f"{summary['activation']}, above the plain ground", ""
        if chosen == "levels":
            values, name = arrays["heatmap"][0], summary["varied"]
            down, across = Axis(name, arrays["levels"], UNITS[name]), Axis("orientation", arrays["orientations"], "°")
            title, note = f"{name} and orientation", f"{note}, mean of both renderings"
        elif chosen == "frequency":
            values = arrays["grating"][0]
            turned = np.arange(values.shape[1]) * 180 / values.shape[1]
            down, across = Axis("frequency", arrays["frequencies"], "cycles a side"), Axis("orientation of stripes", turned, "°")
            title, note = "gratings", f"{note}, best of four phases"
            merit = f"amplitude {told(arrays['grating_amplitude'][arrays['units'][0]])}{self._twins('grating_amplitude')}"
        else:
            values = arrays["position"][0]
            down, across = (Axis(name, arrays["places"], "of its field") for name in ("y downwards", "x to the right"))
            title, note = "its best stimulus at other places", f"{note}; its field: what the unit sees"
            merit = f"half of its best on {told(arrays['position_share'][0])} of the places{self._twins('position_share')}"
        made = self._made_from() | {"stimuli": summary["stimuli"]}
        title = f"{self._address(result)}: {title}"
        self.map.show_responses(values, down, across, label=GROUND, title=title, note=note, merit=merit, made_from=made)

    def _show_hue(self, result: Result) -> None:
        arrays = result.arrays
        hues = arrays["hues"]
        rim = oklch_to_srgb(np.full(len(hues), 0.7), np.full(len(hues), 0.1), hues)  # as the patches are
        best, activation = float(arrays["hue"][0].max()), result.summary["activation"]
        least = np.maximum(LEAST_HUE * arrays["strongest"][arrays["units"]], 1e-9)
        unit, hue = int(arrays["units"][0]), arrays["hue"][0]
        found = f"most at {hues[int(hue.argmax())]:.0f}° OKLCH" if best > 0 else "no hue above grey"
        self.hue.show_tuning(
            hues,
            arrays["hue"][0],
            period=360.0,
            name=self._names[0],
            beside=list(zip(self._names[1:], arrays["hue"][1:], strict=True)),
            quantity="above that to grey",
            angle="hue",
            rim=(rim * 255).round().astype(np.uint8),
            least=least.tolist(),
            title=f"Hues and {self._address(result)}",
            band=self._band("hue"),
            whole=float(arrays["strongest"][unit]),
            note=f"{activation}, {found}",
            merit=f"amplitude {told(arrays['hue_amplitude'][unit])}{self._twins('hue_amplitude')}",
            made_from=self._made_from(),
        )

    def _show_morph(self, result: Result) -> None:
        arrays = result.arrays
        own = arrays["morph"][0]
        self.morph.show_morph(
            arrays["morph_radius"],
            list(zip(self._names, arrays["morph"], strict=True)),
            title=f"{self._address(result)}: corner to arc",
            band=self._band("morph"),
            note=f"{result.summary['activation']}, corner {number(float(own[0]))}, arc {number(float(own[-1]))}",
            merit=f"arc − corner, of its largest: {told(arrays['morph_lean'][0])}{self._twins('morph_lean')}",
            made_from=self._made_from(),
        )
