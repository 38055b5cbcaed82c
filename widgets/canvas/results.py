"""What the network makes of both drawings: classes, units of the layer, and what each part of each block carries of the difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QLabel, QSplitter, QVBoxLayout, QWidget

from widgets.canvas.live import LiveAnswers
from widgets.choice_box import choice_box
from widgets.theme import say
from widgets.views.pair_bars import PairBars
from widgets.views.part_bars import PartBars, Row
from workbench.models.layer import Unit

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View

UNITS = 8
"""Units that are shown: those that differ most, where not several are selected."""
READS = {
    "classes": ("read off the classes", "The logits of the two drawings' classes"),
    "unit": ("read off the selected unit", "What the selected unit does"),
}
NO_NETWORK = "Open a network (panel Model): what it makes of both drawings is shown here while you draw."
NO_UNITS = "Here: the units of the selected layer, clean beside corrupt."
NO_PARTS = "Here: how much of the difference between both drawings each part of the network carries."
NO_DIFFERENCE = "Both drawings are the same. Change one of them: which parts carry the difference is shown here while you draw."
NO_UNIT = "Select a unit: click one in the panel Neurons, or in the bars beside."


class Results(QWidget):
    """Follows the drawings while they are drawn; a click on a unit or a block selects it."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self.session = session
        self.live = LiveAnswers(session, self)
        self._rows: dict[str, Row] = {}
        self._metric = ""  # that the scores of the rows are of
        self._read: tuple[Unit | None, bool] = None, False  # the unit that is read off, and whether one is wanted
        self._alike = True  # both drawings are the same, or not there yet
        self._found: dict[str, Any] = {}  # what was answered last
        self._units: tuple[int, ...] = ()
        self._drawings: Mapping[str, str] = {}  # what that is about
        self._build()
        self.live.answered.connect(self._take_answer)
        self.live.patched.connect(self._take_patched)
        self.live.part_patched.connect(self._take_part)
        self.live.failed.connect(self._take_failure)
        session.model_changed.connect(lambda _card: self._on_network())
        session.layer_changed.connect(lambda _name: self._on_layer())
        session.unit_changed.connect(lambda _unit: self._on_unit())
        session.selection_changed.connect(lambda _units: self._show_units())
        self._on_network()

    def _build(self) -> None:
        self.classes, self.units, self.parts = PairBars(self), PairBars(self), PartBars(self)
        self.classes.setAccessibleName("Classes of both drawings")
        self.units.setAccessibleName("Units on both drawings")
        self.units.setToolTip("Click a unit to look at it")
        self.units.clicked.connect(self._pick_unit)
        self.parts.clicked.connect(self._pick_block)
        self.reads = choice_box(QComboBox(self), READS, "What is read off the patched runs", self._on_unit)
        patching = QWidget(self)
        column = QVBoxLayout(patching)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.parts, 1)
        column.addWidget(self.reads, 0, Qt.AlignmentFlag.AlignRight)
        self.splitter = QSplitter(Qt.Orientation.Horizontal, self)
        for widget in (self.classes, self.units, patching):
            self.splitter.addWidget(widget)
        self.splitter.setSizes([210, 210, 330])
        self.said = QLabel(self, wordWrap=True)
        self.said.setMargin(4)
        self.said.hide()
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addWidget(self.said)
        whole.addWidget(self.splitter, 1)

    def show_pair(self, clean: np.ndarray, corrupt: np.ndarray, drawing: bool, told: Mapping[str, str]) -> None:
        """Ask what the network does on two images.

        Parameters
        ----------
        drawing
            Whether more are about to come.
        told
            What stands on the canvases, in words, by side.
        """
        self.live.show(clean, corrupt, drawing, told)
        self._alike = np.array_equal(clean, corrupt)
        if self._alike:
            self._clear_parts()

    def _on_network(self) -> None:
        model = self.session.model
        self.live.forget()  # the panel asks again once both drawings have the size of this network
        self._found, self._units = {}, ()
        self.reads.setItemText(0, "read off the classes" if model is None or model.labels else "read off the output")
        self._say("")
        self._clear_results()
        self._on_unit()

    def _clear_results(self) -> None:
        said = NO_NETWORK if self.session.model is None else "…"
        self.classes.clear(said)
        self.units.clear(NO_UNITS if self.session.model is None else "…")
        self._clear_parts()
        self.reads.setVisible(self.session.model is not None)

    def _clear_parts(self) -> None:
        """Show no scores, and say what is missing."""
        unit, wanted = self._read
        self._rows = {}
        if self.session.model is None:
            self.parts.clear(NO_PARTS)
        elif wanted and unit is None:
            self.parts.clear(NO_UNIT)
        else:
            self.parts.clear(NO_DIFFERENCE if self._alike else "…")

    def _on_layer(self) -> None:
        self._found, self._units = {}, ()  # a click on a bar that still stands would be one on a unit of this layer
        self.live.again()

    def _on_unit(self) -> None:
        wanted = self.reads.currentData() == "unit"
        unit = self.session.unit if wanted else None
        if (unit, wanted) != self._read:
            self._read = unit, wanted
            self._clear_parts()
            self.live.read_off(unit, unit is not None or not wanted)
        self._show_units()

    def _take_answer(self, found: dict[str, Any], drawings: Mapping[str, str]) -> None:
        self._found, self._drawings = found, drawings
        self._say("")
        if found["classes"]:
            self.classes.show_pairs(
                found["classes"],
                found["clean_classes"],
                found["corrupt_classes"],
                title="Likeliest classes",
                whole=1.0,
                write=lambda share: f"{100 * share:.1f} %",
                made_from=self._origin(drawings),
            )
        else:
            self.classes.clear("This network has no classes: patching reads off the selected unit, or its output.")
        self._show_units()

    def _show_units(self) -> None:
        if not self._found:
            return
        session, clean, corrupt = self.session, self._found["clean_units"], self._found["corrupt_units"]
        if len(session.selection) > 1 and max(session.selection) < len(clean):
            chosen = list(session.selection)[: 4 * UNITS]
            title = f"Selected units of {session.layer}"
        else:
            apart = np.abs(clean - corrupt) if (clean != corrupt).any() else np.abs(clean)
            chosen = np.argsort(-apart, kind="stable")[:UNITS].tolist()
            title = f"Units of {session.layer} that differ most" if (clean != corrupt).any() else f"Most active units of {session.layer}"
            if session.unit is not None and session.unit.index not in chosen and session.unit.index < len(clean):
                chosen = [session.unit.index, *chosen[:-1]]
        self._units = tuple(chosen)
        marked = self._units.index(session.unit.index) if session.unit is not None and session.unit.index in self._units else -1
        names = [str(unit) for unit in self._units]
        made = self._origin(self._drawings, reduction="largest activation at any position")
        self.units.show_pairs(names, clean[chosen], corrupt[chosen], title=title, marked=marked, made_from=made)

    def _take_part(self, scores: dict[str, np.ndarray], drawings: Mapping[str, str]) -> None:
        """Show the scores of some blocks as they come."""
        for block, values in scores.items():
            if block in self._rows:
                self._rows[block] = replace(self._rows[block], scores=values, old=False)
        if self._rows:
            shown = self.parts
            made = {**shown.made_from, "drawings": dict(drawings)}
            shown.show_rows(list(self._rows.values()), title=shown.title, caption=shown.caption, made_from=made)

    def _take_patched(self, found: dict[str, Any], drawings: Mapping[str, str]) -> None:
        """Show all scores; those of blocks that were left out while something is drawn stay, and are shown as older."""
        if found["alike"]:
            self._rows, self._metric = {}, found["metric"]
            self.parts.clear(f"Both drawings give the same {found['metric']}.")
            return
        if found["metric"] != self._metric:  # what is left of another metric is not merely older
            self._rows, self._metric = {}, found["metric"]
        rows = {}
        for block, parts in zip(found["blocks"], found["parts"], strict=True):
            before = self._rows.get(block)
            scores = found["scores"].get(block)
            rows[block] = Row(block, parts, before.scores if scores is None and before is not None else scores, scores is None)
        self._rows = rows
        title = "What each part of each block carries of the difference (denoise)"
        caption = f"{found['metric']}: clean − corrupt {found['difference']:.3g}"
        if len(rows) < found["total"]:
            caption = f"{len(rows)} of {found['total']} blocks; {caption}"
        made = self._origin(drawings, metric=found["metric"], difference=found["difference"])
        self.parts.show_rows(list(rows.values()), title=title, caption=caption, made_from=made)

    def _take_failure(self, question: str, error: str) -> None:
        if question == "patching":
            self._rows = {}
            self.parts.clear(error)
        else:
            self._say(error, wrong=True)

    def _pick_unit(self, place: int) -> None:
        if place < len(self._units):
            unit = Unit(self.session.layer, self._units[place])
            if len(self.session.selection) > 1 and unit.index in self.session.selection:
                self.session.look_at(unit.index)
            else:
                self.session.select_unit(unit)

    def _pick_block(self, block: str) -> None:
        if block in self.session.layers:
            self.session.select_layer(block)

    def _origin(self, drawings: Mapping[str, str], **more: object) -> dict[str, object]:
        """Return the provenance of a figure: the network, and both drawings that it is about."""
        session, model = self.session, self.session.model
        of = {"model": model.ref, "weights": model.weight_hash, "layer": session.layer} if model is not None else {}
        address = replace(session.addresses.selected(), view="patching_canvas")
        return {**of, "drawings": dict(drawings), "address": str(address), **more}

    def _say(self, text: str, wrong: bool = False) -> None:
        say(self.said, text, wrong)
        self.said.setVisible(bool(text))

    def views(self) -> list[View]:
        """Return those that show something."""
        return [view for view in (self.classes, self.units, self.parts) if view.data()]
