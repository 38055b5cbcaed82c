"""The circuit graph: units as nodes with their pictures, edges with their weights; built by clicking, from inputs, or from a trace."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from PySide6.QtWidgets import QInputDialog, QLabel, QMenu, QVBoxLayout

from widgets import circuit_edit as edit
from widgets.badge import Badge
from widgets.circuit_account import captions_of, recomputation_of, roles_of
from widgets.circuit_commands import circuit_commands
from widgets.circuit_folds import CircuitFolds, is_family
from widgets.circuit_measure import ANALYSIS as MEASURES_ANALYSIS
from widgets.circuit_measure import CircuitMeasure, drops_of
from widgets.circuit_menus import fill_add_menu, fill_menu
from widgets.circuit_pictures import CircuitPictures
from widgets.circuit_tools import CircuitTools
from widgets.circuit_trace import TRACE, TREE, CircuitTracing, TraceDialog
from widgets.circuit_work import CircuitWork
from widgets.commands import Command
from widgets.docks import Panel
from widgets.project_edit import one_step
from widgets.sight import in_sight
from widgets.theme import say
from widgets.undo_tip import tell_steps
from widgets.views.axes import number
from widgets.views.graph_drawing import Card
from widgets.views.graph_hand import GraphHand
from widgets.views.graph_view import MEASURES
from workbench.circuit import Circuit, layer_of, units_of
from workbench.circuit_families import address_of, members, taken_apart, together
from workbench.circuit_weights import rows_of, source_for
from workbench.jobs.requests import DescribeAnalyses
from workbench.labels import primary
from workbench.models.layer import Unit
from workbench.models.neighbours import sources_of
from workbench.owner import known_of
from workbench.unit_families import Family

if TYPE_CHECKING:
    from widgets.session import Session
    from widgets.views.view import View
    from workbench.jobs.job import JobEvent
    from workbench.jobs.requests import AnalysisCard

INVITATION = "Click a unit in the panel Neurons and press Add, then Inputs: what it is built from grows here into a graph, layer by layer."
TILES = 4
"""Pictures of a family's card."""


class CircuitGraphPanel(Panel):
    """Shows the circuit that is open in the session, and edits it."""

    id: ClassVar[str] = "circuit_graph"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._analyses: dict[str, AnalysisCard] = {}
        self._asked_analyses = False
        self._shown = ""  # name of the circuit that was shown last
        self._wanted = ""  # name of the circuit to open when the investigation is there
        self.tools = CircuitTools(self)
        self.said = QLabel(self, wordWrap=True)
        self.said.setMargin(4)
        self.view = GraphHand(self)
        self.view.offers = self._fill_node_menu
        self.folds = CircuitFolds(session, self._show_folds)
        self.pictures = CircuitPictures(session, self)
        self.work = CircuitWork(session, self)
        self.measure = CircuitMeasure(session, self)
        self.tracing = CircuitTracing(session, self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for part in (self.tools, Badge(session, self), self.said):
            layout.addWidget(part)
        layout.addWidget(self.view, 1)
        self._wire()
        self._may_open = session.circuit is None  # and not what another panel has just made
        if self._may_open:
            self._open_first()
        self._on_circuit(session.circuit)

    def _wire(self) -> None:
        session, tools, view = self.session, self.tools, self.view
        session.circuit_changed.connect(self._on_circuit)
        session.project_changed.connect(self._on_project)
        session.model_changed.connect(lambda _card: self._show())
        session.images_changed.connect(lambda _card: self._show())
        session.touched.connect(self._show_cards)
        session.family_wanted.connect(self.add_family)
        session.unit_changed.connect(lambda _unit: self._mark())
        stack = session.undo_stack
        stack.canUndoChanged.connect(tools.undo.setEnabled)
        stack.canRedoChanged.connect(tools.redo.setEnabled)
        tools.undo.setEnabled(stack.canUndo())
        tools.redo.setEnabled(stack.canRedo())
        tools.undo.clicked.connect(stack.undo)
        tell_steps(stack, tools.undo, tools.redo)
        tools.redo.clicked.connect(stack.redo)
        tools.chooser.activated.connect(lambda index: session.open_circuit(edit.named(session.project, tools.chooser.itemText(index))))
        tools.whole.aboutToShow.connect(lambda: fill_menu(tools.whole, self.commands()))
        tools.units.aboutToShow.connect(lambda: fill_add_menu(tools.units, session, self.add, self.add_family))
        tools.inputs.clicked.connect(self.add_inputs)
        tools.connect_units.clicked.connect(self.connect_units)
        tools.collapse.clicked.connect(self.collapse)
        tools.remove.clicked.connect(self.remove)
        tools.trace.clicked.connect(lambda: self.open_search(TRACE))
        tools.tree.clicked.connect(lambda: self.open_search(TREE))
        tools.live.toggled.connect(lambda _on: self._give_to_measure())
        tools.cancel.clicked.connect(self._cancel)
        tools.on_drawing(self._on_drawing)
        view.picked.connect(self._follow)
        view.opened.connect(self.expand)
        view.moved.connect(self._move)
        view.removal_wanted.connect(self.remove)
        view.selected.connect(self._on_selection)
        self.pictures.changed.connect(self._show_cards)
        self.work.changed.connect(self._tell)
        self.measure.changed.connect(self._tell)
        self.tracing.changed.connect(self._tell)
        self.measure.measured.connect(lambda figures: edit.keep_figures(session, figures))
        self._on_drawing()

    # ------------------------------------------------------------------------------------------------ what is shown

    @property
    def circuit(self) -> Circuit | None:
        """The circuit that is open."""
        return self.session.circuit

    @property
    def _is_of_open_model(self) -> bool:
        return self.circuit is not None and self.session.is_open(self.circuit.model)

    def _on_project(self) -> None:
        self.folds.clear()
        self.work.cancel()  # what was asked in the investigation before is not of this one
        self.tracing.cancel()
        self._may_open = True
        self._open_first()

    def _open_first(self) -> None:
        """Open the circuit that was open when the investigation was saved, else its first."""
        project = self.session.project
        first = edit.named(project, self._wanted) or next(iter(project.circuits), None)
        if first is not None or self.circuit is not None:
            self.session.open_circuit(first)

    def _on_circuit(self, circuit: Circuit | None) -> None:
        """Show it; one that the investigation does not have was made by another panel, and is taken in."""
        known = edit.named(self.session.project, circuit.name) if circuit is not None else None
        if circuit is not None and (known is None or known.to_json() != circuit.to_json()):
            edit.add_circuit(self.session, edit.tidied(self.session, circuit), "open as circuit")
            return
        if circuit is not None and circuit.name != self._shown:
            self._choose_measure(circuit)
            self.view.look_at_all()
        self._shown = circuit.name if circuit is not None else ""
        self._show()

    def _choose_measure(self, circuit: Circuit) -> None:
        """Show another quantity of the edges where the chosen one is known of none."""
        known = [name for name in MEASURES if any(math.isfinite(getattr(edge, name)) for edge in circuit.edges)]
        if known and self.tools.measure.currentData() not in known:
            self.tools.measure.setCurrentIndex(self.tools.measure.findData(known[0]))

    def _show(self) -> None:
        """Draw the circuit anew."""
        session, circuit, tools = self.session, self.circuit, self.tools
        names = [each.name for each in session.project.circuits]
        if [tools.chooser.itemText(i) for i in range(tools.chooser.count())] != names:
            tools.chooser.clear()
            tools.chooser.addItems(names)
        tools.chooser.setCurrentIndex(names.index(circuit.name) if circuit is not None and circuit.name in names else -1)
        tools.chooser.setEnabled(bool(names))
        if circuit is None or not circuit.units:
            self.view.clear(INVITATION)
        else:
            shown = together(circuit, self.folds.of(circuit))
            model = session.model.name if self._is_of_open_model and session.model is not None else circuit.model
            self.view.show_circuit(
                shown,
                rows_of(shown, list(session.layers) if self._is_of_open_model else []),
                roles=roles_of(circuit, session.layers if self._is_of_open_model else {}),
                captions=captions_of(circuit),
                edge_notes={ends: f"drop of the score without it: {number(drop)}" for ends, drop in drops_of(circuit.figures).items()},
                title=f"{circuit.name} · {model}",
                made_from=self._origin(circuit),
            )
            self._show_cards()
        self._mark()
        self._on_selection()
        self._give_to_measure()
        self._tell()

    def _origin(self, circuit: Circuit) -> dict[str, object]:
        session = self.session
        made: dict[str, object] = {"model": circuit.model, "images": circuit.images}
        if self._is_of_open_model and session.model is not None:
            made["weights"] = session.model.weight_hash
            made["address"] = str(replace(session.addresses.selected(), view=self.id))
        if session.images is not None and session.images.ref == circuit.images and session.badge:
            made["badge"] = session.badge
        return made

    def _show_cards(self) -> None:
        """Draw pictures and names of the units that are shown, and ask for pictures that are missing."""
        circuit = self.circuit
        if circuit is None or not circuit.units:
            return
        if in_sight(self) and self._is_of_open_model:  # looking at a circuit loads no other network
            self.pictures.want(circuit.model, [unit for address in circuit.units for unit in units_of(address)])
        self.view.show_cards({address: self._card(circuit, address) for address in self.view.circuit.units})
        layers = list(self.session.layers) if self._is_of_open_model else []
        self.view.recomputation = recomputation_of(circuit, layers, self.pictures)

    def _card(self, circuit: Circuit, address: str) -> Card:
        units = units_of(address)
        labels = known_of(self.session.project.labels, circuit.model, layer_of(address))
        if len(units) > 1:
            family = self.folds.family_of(circuit.model, units)
            pictures = tuple(self.pictures.image(circuit.model, unit) for unit in units[:TILES])
            return Card(address, f"{len(units)} units", family.name if family is not None else "", pictures)
        first = primary(labels.get(address, ()))
        return Card(address, str(units[0].index), first.name if first is not None else "", (self.pictures.image(circuit.model, units[0]),))

    def _mark(self) -> None:
        unit = self.session.unit if self._is_of_open_model else None
        self.view.mark(next((node for node in self.view.circuit.units if unit in units_of(node)), "") if unit is not None else "")

    def _on_drawing(self) -> None:
        tools = self.tools
        self.view.show_edges(tools.measure.currentData(), tools.least.value() / 100, tools.numbers.isChecked())

    def _on_selection(self) -> None:
        """Enable what can be done with what is selected."""
        tools, circuit, nodes = self.tools, self.circuit, self.view.selection
        here = self._is_of_open_model
        tools.add.setEnabled(self.session.model is not None)
        tools.inputs.setEnabled(here and bool(nodes))
        tools.connect_units.setEnabled(here and circuit is not None and len(circuit.units) > 1)
        tools.remove.setEnabled(bool(nodes) or self.view.selected_edge is not None)
        opens = len(nodes) == 1 and is_family(nodes[0])
        tools.collapse.setText("Expand" if opens else "Collapse")
        tools.collapse.setAccessibleName(tools.collapse.text())
        tools.collapse.setEnabled(opens or (circuit is not None and bool(self.folds.offered(circuit, nodes))))
        if here and nodes and (layer := self.session.layers.get(layer_of(nodes[-1]))) is not None:
            layers = list(self.session.layers.values())
            tools.offer_sources([each.name for each in reversed(sources_of(layers, layer))])
            nearest = source_for(layers, layer.name)
            tools.source.setItemText(0, f"of {nearest}" if nearest else "no earlier layer")

    def _tell(self) -> None:
        """Say what is being computed, what went wrong, and what was measured."""
        circuit, measure, work, tracing = self.circuit, self.measure, self.work, self.tracing
        self.tools.cancel.setVisible(work.running or tracing.running)
        if work.said or tracing.said:
            say(self.said, work.said or tracing.said, wrong=work.wrong)
        elif measure.said:
            say(self.said, f"Measures: {measure.said}", wrong=measure.wrong)
        elif circuit is not None and circuit.units and not self._is_of_open_model:
            say(self.said, f"This circuit is of {circuit.model}; click a unit to open that network.")
        else:
            say(self.said, "")
        self.said.setVisible(bool(self.said.text()))

    # ------------------------------------------------------------------------------------------------ what is done

    def _follow(self, node: str) -> None:
        """Look at a unit in the inspector; a circuit of another network opens that."""
        circuit, session, units = self.circuit, self.session, units_of(node)
        if circuit is None:
            return
        if not self._is_of_open_model:
            session.open_model(circuit.model, layer=units[0].layer, unit=units[0])
            return
        try:
            session.select_unit(units[0])
            if len(units) > 1:
                family = self.folds.family_of(circuit.model, units)
                numbers = tuple(unit.index for unit in units)
                session.select_together(numbers, family.name if family is not None and len(family.units) == len(units) else "")
        except ValueError as error:
            session.report(str(error))

    def add(self, units: list[str], text: str) -> None:
        """Add units and select them, so that their inputs are next; `text` is what is undone."""
        edit.add_units(self.session, units, text)
        self._select(units)

    def add_selected(self) -> None:
        """Add the selected unit, or those selected together, and come into sight."""
        session = self.session
        if session.unit is not None:
            units = [str(Unit(session.layer, unit)) for unit in session.selection] or [str(session.unit)]
            self.add(units, f"add {units[0]}" if len(units) == 1 else f"add {len(units)} units")
            if not in_sight(self):
                session.panels_wanted.emit((self.id,))

    def _select(self, units: list[str]) -> None:
        if there := [unit for unit in units if unit in self.view.circuit.units]:
            self.view.select(there)

    def add_inputs(self) -> None:
        """Add the strongest inputs of the selected nodes."""
        circuit, tools = self.circuit, self.tools
        if circuit is not None and self._is_of_open_model and self.view.selection:
            nodes = [unit for node in self.view.selection for unit in members(circuit, node)]
            self.work.add_inputs(circuit, nodes, tools.source.currentData() or "", tools.count.value())

    def connect_units(self) -> None:
        """Compute the weights between all units that are there."""
        if self.circuit is not None and self._is_of_open_model:
            self.work.connect_units(self.circuit)

    def weigh_edges(self) -> None:
        """Compute the weights of the edges that are there."""
        if self.circuit is not None and self._is_of_open_model:
            self.work.weigh_edges(self.circuit)

    def remove(self) -> None:
        """Remove the selected nodes, or the selected edge."""
        circuit, nodes, edge = self.circuit, self.view.selection, self.view.selected_edge
        if circuit is None:
            return
        if nodes:
            gone = [unit for node in nodes for unit in members(circuit, node)]
            what = nodes[0] if len(nodes) == 1 else f"{len(nodes)} nodes"
            edit.change_circuit(self.session, circuit.without_units(gone), f"remove {what}")
        elif edge is not None:
            sources, targets = (members(circuit, end) for end in edge)
            ends = [(source, target) for source in sources for target in targets]
            edit.change_circuit(self.session, circuit.without_edges(ends), "remove an edge")

    def _move(self, node: str, place: int) -> None:
        circuit = self.circuit
        if circuit is None:
            return
        row = [other for other in rows_of(self.view.circuit, [])[layer_of(node)] if other != node]
        before = members(circuit, row[place])[0] if place < len(row) else None
        edit.change_circuit(self.session, edit.moved(circuit, members(circuit, node), before), f"move {node}")

    def tidy(self) -> None:
        """Order the rows so that few edges cross."""
        circuit = self.circuit
        if circuit is not None and (after := edit.tidied(self.session, circuit)).units != circuit.units:
            edit.change_circuit(self.session, after, "tidy the circuit")

    # Families

    def add_family(self, family: Family) -> None:
        """Add the units of a family, shown as one node."""
        units = [Unit(family.layer, unit) for unit in family.units]
        text = f"add the family {family.name}"
        if len(units) == 1:
            self.add([str(units[0])], text)
        elif self._is_of_open_model and (node := address_of(units)) in self.view.circuit.units:  # it is there as it would be
            self._select([node])
        else:
            with one_step(self.session.undo_stack, text):
                edit.add_units(self.session, list(map(str, units)), text)
                if self.circuit is not None:
                    self.folds.fold(self.circuit, address_of(units))

    def collapse(self) -> None:
        """Take the selected nodes as one, or a selected family apart again."""
        nodes = self.view.selection
        if len(nodes) == 1 and is_family(nodes[0]):
            self.expand(nodes[0])
        elif self.circuit is not None and (address := self.folds.offered(self.circuit, nodes)):
            self.folds.fold(self.circuit, address)

    def _show_folds(self, name: str, nodes: list[str]) -> None:
        """Draw the circuit anew in which other families are one node."""
        if self.circuit is not None and self.circuit.name == name:
            self._show()
        else:
            self.session.open_circuit(edit.named(self.session.project, name))
        self._select(nodes)

    def expand(self, node: str) -> None:
        """Show the units of a node that stands for several."""
        circuit = self.circuit
        if circuit is None or not is_family(node):
            return
        if not self.folds.unfold(circuit, node):
            edit.change_circuit(self.session, taken_apart(circuit, node), f"take {node} apart")
            self.session.inform("The weights of its single units are not known yet: Connect computes them.")
            self._select([str(unit) for unit in units_of(node)])

    # Circuits

    def ask_for_name(self) -> None:
        """Ask what the circuit is called."""
        if self.circuit is None:
            return
        dialog = QInputDialog(self)
        dialog.setWindowTitle("Rename the circuit")
        dialog.setLabelText("Name of the circuit")
        dialog.setTextValue(self.circuit.name)
        dialog.textValueSelected.connect(self.rename)
        dialog.finished.connect(lambda _result: dialog.deleteLater())
        dialog.open()

    def rename(self, name: str) -> None:
        """Call the circuit otherwise."""
        circuit, name = self.circuit, " ".join(name.split())
        if circuit is None or not name or name == circuit.name:
            return
        if edit.named(self.session.project, name) is not None:
            self.session.report(f"there is a circuit {name!r} already")
            return
        self._shown = name  # it is the same one
        with one_step(self.session.undo_stack, "rename the circuit"):
            self.folds.move(circuit, name)
            edit.change_circuit(self.session, replace(circuit, name=name), "rename the circuit")

    def delete(self) -> None:
        """Take the circuit out of the investigation."""
        circuit = self.circuit
        if circuit is not None:
            with one_step(self.session.undo_stack, f"delete the circuit {circuit.name}"):
                self.folds.move(circuit, "")
                edit.delete_circuit(self.session)

    # Analyses of circuits

    def _give_to_measure(self) -> None:
        wanted = self.tools.live.isChecked() and MEASURES_ANALYSIS in self._analyses and in_sight(self)
        self.measure.give(self.circuit if wanted and self._is_of_open_model else None)

    def _on_analyses(self, event: JobEvent) -> None:
        if event.state == "done":
            self._analyses = {card.name: card for card in event.result}
            self.tools.trace.setVisible(TRACE in self._analyses)
            self.tools.tree.setVisible(TREE in self._analyses)
            self.tools.live.setVisible(MEASURES_ANALYSIS in self._analyses)
            self._give_to_measure()

    def open_search(self, analysis: str) -> None:
        """Ask for the parameters of a trace, or of a tree of parts."""
        if analysis in self._analyses:
            dialog = TraceDialog(self.session, self._analyses[analysis], self)
            dialog.wanted.connect(self.tracing.start)
            dialog.open()

    def _cancel(self) -> None:
        self.work.cancel()
        self.tracing.cancel()

    # ------------------------------------------------------------------------------------------------ the panel's contract

    def showEvent(self, event: Any) -> None:
        """Ask for what was not asked while nobody looked."""
        super().showEvent(event)
        if not self._asked_analyses:
            self._asked_analyses = True
            self.session.relay.submit(DescribeAnalyses(), self._on_analyses)
        self._show_cards()
        self._give_to_measure()

    def hideEvent(self, event: Any) -> None:
        """Measure nothing that nobody looks at."""
        super().hideEvent(event)
        self.measure.give(None)

    def save_state(self) -> dict[str, Any]:
        """Keep which circuit is open, which families are one node, and how edges are drawn."""
        tools = self.tools
        return {
            "circuit": self.circuit.name if self.circuit is not None else "",
            "collapsed": self.folds.save(),
            "measure": tools.measure.currentData(),
            "least": tools.least.value(),
            "numbers": tools.numbers.isChecked(),
            "live": tools.live.isChecked(),
            "inputs": tools.count.value(),
        }

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        tools = self.tools
        tools.measure.setCurrentIndex(max(0, tools.measure.findData(state.get("measure"))))
        for box, name in ((tools.least, "least"), (tools.count, "inputs")):
            if isinstance(state.get(name), int):
                box.setValue(state[name])
        tools.numbers.setChecked(bool(state.get("numbers", False)))
        tools.live.setChecked(bool(state.get("live", True)))
        self.folds.restore(state.get("collapsed"))
        self._wanted = str(state.get("circuit", ""))
        if self._may_open and (circuit := edit.named(self.session.project, self._wanted)) is not None:
            self.session.open_circuit(circuit)

    def views(self) -> list[View]:
        """The graph."""
        return [self.view] if self.view.circuit.units else []

    def _fill_node_menu(self, menu: QMenu) -> None:
        """Offer what can be done with what is selected."""
        fill_menu(menu, [command for command in self.commands() if command.section == "units"])

    def commands(self) -> tuple[Command, ...]:
        """Everything that is done with circuits, for the menus of the window too."""
        return circuit_commands(self)
