"""What patching found, as views of the same patches: choosing one in any of them chooses it in all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QHBoxLayout, QSplitter, QTabWidget, QVBoxLayout, QWidget

from widgets.patching.layer_matrix import LayerMatrix
from widgets.patching.table import PatchTable
from widgets.patching.words import PLURAL, agreement, noise_words, null_of, null_words, percent
from widgets.scrolled import scrolled
from widgets.views.axes import number
from widgets.views.colour_scale import ColourScale
from widgets.views.effect_list import Effect, EffectList
from widgets.views.image_view import ImageView
from widgets.views.score_scatter import ScoreScatter
from workbench.patching_table import Row, partly, rows_of
from workbench.recompute import of_result

if TYPE_CHECKING:
    from widgets.views.view import View
    from workbench.analyses.analysis import Result
    from workbench.image_pair import ImagePair

BARS = 40
"""Patches shown as bars."""
COLUMNS = 128
"""Parts of a layer in the matrix, the strongest first where there are more."""
SORTED = ("unit", "cell", "direction")
"""Parts that are many: the strongest stand first."""


class PatchingResults(QWidget):
    """Matrix of layers and parts, the pair with the map of positions, bars, both scatters, and the table."""

    picked = Signal(int)
    """Place of the patch that was chosen."""
    region_marked = Signal(object)
    """A box on the clean image, None for none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.result: Result | None = None
        self.rows: list[Row] = []
        self._grid = np.zeros((0, 0), int)  # patch in each cell of the matrix, -1 for none
        self._bars: list[int] = []
        self._chosen = -1
        self.matrix = LayerMatrix(self)
        self.matrix.picked.connect(self._pick_in_matrix)
        self.clean, self.corrupt = ImageView(self), ImageView(self)
        self.clean.setAccessibleName("Clean image, with the scores of positions")
        self.clean.setToolTip("Drag a box to patch only inside it; click a position to choose it")
        self.corrupt.setAccessibleName("Corrupt image")
        self.clean.takes_regions = True
        self.clean.region_marked.connect(self.region_marked.emit)
        self.clean.cell_picked.connect(self._pick_position)
        self.bars = EffectList(linked=True)
        self.bars.setAccessibleName("Strongest patches")
        self.bars.picked.connect(lambda place: self.pick(self._bars[place]))
        self.attribution, self.directions = ScoreScatter(self), ScoreScatter(self)
        for scatter in (self.attribution, self.directions):
            scatter.picked.connect(self.pick)
        self.table = PatchTable(self)
        self.table.picked.connect(self.pick)
        lines = QWidget()
        lines.setBackgroundRole(QPalette.ColorRole.Base)
        lines.setAutoFillBackground(True)
        column = QVBoxLayout(lines)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.bars)
        column.addStretch(1)
        scroll = scrolled(lines, self, sideways=False)
        self.tabs = QTabWidget(self, documentMode=True)
        for widget, title, tip in (
            (scroll, "Bars", "The strongest patches with their intervals"),
            (self.table, "Table", "All patches; a click on a heading sorts"),
        ):
            self.tabs.addTab(widget, title)
            self.tabs.setTabToolTip(self.tabs.count() - 1, tip)
        pair = QWidget(self)
        beside = QHBoxLayout(pair)
        beside.setContentsMargins(0, 0, 0, 0)
        beside.setSpacing(0)
        beside.addWidget(self.clean, 1)
        beside.addWidget(self.corrupt, 1)
        upper, lower = QSplitter(Qt.Orientation.Horizontal, self), QSplitter(Qt.Orientation.Horizontal, self)
        upper.addWidget(self.matrix)
        upper.addWidget(pair)
        upper.setSizes([400, 380])
        lower.addWidget(self.tabs)
        lower.addWidget(self.attribution)
        lower.addWidget(self.directions)
        lower.setSizes([330, 230, 230])
        whole = QSplitter(Qt.Orientation.Vertical, self)
        whole.addWidget(upper)
        whole.addWidget(lower)
        whole.setSizes([230, 260])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(whole)

    def clear(self, message: str) -> None:
        """Show nothing but what to do."""
        self.result, self.rows, self._bars, self._chosen = None, [], [], -1
        self.matrix.clear(message)
        self.bars.clear()
        self.attribution.clear("Attribution against exact scores")
        self.directions.clear("Denoising against noising")
        self.table.show_result(None)

    def show_pair(self, pair: ImagePair | None) -> None:
        """Show the pair that was drawn, before it is patched."""
        if pair is None:
            self.clean.clear("Clean image")
            self.corrupt.clear("Corrupt image")
            return
        for view, image, name in ((self.clean, pair.clean, "clean"), (self.corrupt, pair.corrupt, "corrupt")):
            view.show_image(image.pixels, title=f"{pair.name}: {name}", caption=name)

    def show_before(self, pixels: np.ndarray) -> None:
        """Show an image of the set before anything is patched: a box can be dragged on it."""
        self.clean.show_image(pixels, title="An image of the set", caption="first image: drag a box to patch only inside")

    def show_result(self, result: Result, made_from: Mapping[str, object]) -> None:
        """Show a result, whole or as far as it is; the patch that was chosen stays chosen."""
        same = self.result is not None and self.result.summary["names"] == result.summary["names"]
        same_run = same and self.result is not None and self.result.parameters == result.parameters
        self.result = result
        self.rows = self.rows if same else rows_of(result)
        self._chosen = self._chosen if same else -1
        self._made_from = dict(made_from)
        arrays, told = result.arrays, result.summary
        score, guess = arrays["denoise_score"], arrays["denoise_attribution"]
        self._known = np.where(np.isfinite(score), score, guess)
        self._null = null_of(result)
        self._parts = PLURAL[told["part"]]
        self._title = f"Patching {self._parts}, {told['corruption']}" + (f", through {told['through']}" if told["through"] else "")
        self._title += f"; {some}" if (some := partly(told)) else ""
        self._show_matrix()
        self._show_images(same_run)
        self._show_bars()
        for view, others, axis, title in (
            (self.attribution, guess, "attribution, first order", "Attribution and exact"),
            (self.directions, arrays["noise_score"], f"{noise_words(told['put'])}: is needed", "Denoise and noise"),
        ):
            x, y, axes = others, score, (axis, "exact, denoise")
            if view is self.directions:
                x, y, axes = score, others, ("denoise: suffices", axis)
            rank = agreement(x, y, arrays["stands_for"])
            bands = (None, self._null) if view is self.attribution else (self._null, None)
            view.show_scores(
                x, y, told["names"], title=title + (f"; {some}" if some else ""), axes=axes,
                groups=arrays["layer"], group_names=told["layers"], bands=bands,
                note=f"ρ {number(rank)}" if rank is not None else "", made_from=self._made_from,
            )  # fmt: skip
            view.message = "Exact scores follow one after the other …"
        self.table.show_result(result)
        if not told["incomplete"]:
            for shown in self.views():
                shown.recomputation = of_result(result)
        self.mark(self._chosen)

    def _show_matrix(self) -> None:
        assert self.result is not None
        told = self.result.summary
        layer = self.result.arrays["layer"]
        most = min(max(told["in_layer"]), COLUMNS)
        self._grid = np.full((len(told["layers"]), most), -1)
        for row in range(len(told["layers"])):
            places = np.flatnonzero(layer == row)
            if told["part"] in SORTED:
                places = places[np.argsort(-np.nan_to_num(self._known[places], nan=-np.inf), kind="stable")]
            self._grid[row, : len(places[:most])] = places[:most]
        values = np.where(self._grid >= 0, self._known[self._grid], np.nan)
        texts = [[self._short(at) if at >= 0 else ("", "") for at in line] for line in self._grid.tolist()]
        order = "strongest first" if told["part"] in SORTED else "in their order"
        left = f"; the first {most} of each" if max(told["in_layer"]) > most else ""
        left += f"; {some}, half of them drawn at random" if (some := partly(told)) else ""
        caption = "layers, from the input on" if told["part"] == "layer" else f"{self._parts} of each layer, {order}{left}"
        self.matrix.show_scores(
            values, told["layers"], texts, label="denoise", title=self._title, caption=caption,
            tell=self._tell, made_from=self._made_from,
        )  # fmt: skip

    def _short(self, at: int) -> tuple[str, str]:
        """Name a patch within its layer, and give its score."""
        row = self.rows[at]
        name = str(row.unit) if row.unit >= 0 else row.name.removeprefix(row.layer).lstrip(":. ")
        return name, percent(self._known[at])

    def _tell(self, row: int, column: int) -> str:
        at = int(self._grid[row, column])
        return "" if at < 0 else self.words(at)

    def words(self, at: int) -> str:
        """Say all that is known of a patch, in lines."""
        assert self.result is not None
        arrays = self.result.arrays
        lines = [self.rows[at].name]
        for name in ("denoise", "noise"):
            low, high = arrays[f"{name}_low"][at], arrays[f"{name}_high"][at]
            sure = f" [{percent(low)[:-2]}, {percent(high)[:-2]}]" if np.isfinite(low) else ""
            guess = percent(arrays[f"{name}_attribution"][at])
            called = noise_words(self.result.summary["put"]) if name == "noise" else name
            lines.append(f"{called} {percent(arrays[f'{name}_score'][at])}{sure}, by attribution {guess}")
        lines.append(f"denoise with unrelated images {percent(arrays['unaligned_score'][at])}")
        return "\n".join(lines)

    def _show_images(self, same: bool) -> None:
        """Show the first pair; that of the `same` run is there already, and a box that is being dragged on it stays."""
        assert self.result is not None
        arrays, told = self.result.arrays, self.result.summary
        first = "the pair" if told["drawn"] else "first pair"
        for view, name, caption in ((self.clean, "clean", f"clean, {first}"), (self.corrupt, "corrupt", "corrupt")):
            view.made_from = self._made_from
            if not same:
                view.show_image(arrays[f"{name}_image"], title=f"{self._title}: {name}", caption=caption, made_from=self._made_from)
        if not same:
            region = self.result.parameters["region"]
            self.clean.show_region(tuple(region) if region is not None else None)
        self._mapped = -1
        if told["part"] == "cell":
            self._map_layer(int(arrays["layer"][self._chosen if self._chosen >= 0 else int(np.nanargmax(np.nan_to_num(self._known)))]))

    def _map_layer(self, layer: int) -> None:
        """Lay the scores of a layer's positions over the clean image."""
        assert self.result is not None
        self._mapped = layer
        here = [(at, self.rows[at].cell) for at in np.flatnonzero(self.result.arrays["layer"] == layer).tolist()]
        cells = [(at, cell) for at, cell in here if cell is not None]
        if not cells:
            return
        values = np.full(tuple(self.result.summary["grids"][layer]), np.nan)  # a region leaves the cells outside it empty
        for at, cell in cells:
            values[cell] = self._known[at]
        name = self.result.summary["layers"][layer]
        self.clean.show_map(
            values, scale=ColourScale.of(values, "denoise"), caption=f"clean: positions of {name}",
            made_from=self._made_from | {"layer": name},
        )  # fmt: skip

    def _show_bars(self) -> None:
        assert self.result is not None
        arrays = self.result.arrays
        order = np.argsort(-np.nan_to_num(self._known, nan=-np.inf), kind="stable")[:BARS]
        self._bars = [int(at) for at in order if np.isfinite(self._known[at])]
        lines = []
        for at in self._bars:
            exact = bool(np.isfinite(arrays["denoise_score"][at]))
            low, high = float(arrays["denoise_low"][at]), float(arrays["denoise_high"][at])
            text = f"{'' if exact else '≈ '}{percent(self._known[at])}"
            lines.append(Effect(self.rows[at].name, float(self._known[at]), low, high, text, self.words(at)))
        label = "part of the difference that comes with it" + ("" if not self.result.summary["drawn"] else "; one pair")
        self.bars.show_effects(
            lines, title=self._title, label=label, null=self._null, null_name=null_words(self.result), made_from=self._made_from
        )  # fmt: skip

    # ------------------------------------------------------------------------------------------------ choosing

    def pick(self, patch: int) -> None:
        """Choose a patch, and say so."""
        self.mark(patch)
        self.picked.emit(patch)

    def mark(self, patch: int) -> None:
        """Point at a patch in every view; -1 for none."""
        self._chosen = patch
        place = np.argwhere(self._grid == patch) if patch >= 0 else np.zeros((0, 2), int)
        self.matrix.mark_cell((int(place[0, 0]), int(place[0, 1])) if len(place) else None)
        self.bars.mark(self._bars.index(patch) if patch in self._bars else -1)
        for scatter in (self.attribution, self.directions):
            scatter.mark(patch)
        self.table.mark(patch)
        if self.result is not None and patch >= 0 and self.rows[patch].cell is not None:
            if (layer := int(self.result.arrays["layer"][patch])) != self._mapped:
                self._map_layer(layer)
            self.clean.mark_cell(self.rows[patch].cell)
        else:
            self.clean.mark_cell(None)

    @property
    def chosen(self) -> int:
        """Place of the patch that is chosen; -1 for none."""
        return self._chosen

    def _pick_in_matrix(self, row: int, column: int) -> None:
        if self._grid[row, column] >= 0:
            self.pick(int(self._grid[row, column]))

    def _pick_position(self, y: int, x: int) -> None:
        assert self.result is not None
        layers = self.result.arrays["layer"]
        found = [at for at in np.flatnonzero(layers == self._mapped).tolist() if self.rows[at].cell == (y, x)]
        if found:
            self.pick(found[0])

    def views(self) -> list[View]:
        """All that can be exported."""
        return [] if self.result is None else [self.matrix, self.clean, self.corrupt, self.bars, self.attribution, self.directions]
