"""The circuit graph: units as nodes with their pictures, edges with their weights; built by clicking, from inputs, or from a trace."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from PySide6.QtWidgets import QInputDialog, QLabel, QMenu, QVBoxLayout

from widgets import circuit_edit as edit
from widgets.badge import Badge
from widgets.circuit_account import captions_of, recomputation_of, roles_of
from widgets.circuit_commands import circuit_commands
from widgets.circuit_measure import ANALYSIS as MEASURES_ANALYSIS
from widgets.circuit_measure import CircuitMeasure, interval, of_edges
from widgets.circuit_menus import fill_add_menu, fill_menu
from widgets.circuit_pictures import CircuitPictures
from widgets.circuit_tools import CircuitTools
from widgets.circuit_trace import ANALYSIS as TRACE_ANALYSIS
from widgets.circuit_trace import TraceDialog
from widgets.circuit_work import CircuitWork
from widgets.commands import Command
from widgets.docks import Panel
from widgets.theme import say
from widgets.views.graph_drawing import Card
from widgets.views.graph_hand import GraphHand
from workbench.circuit import Circuit, layer_of, units_of
from workbench.circuit_families import address_of, members, taken_apart, together
from workbench.circuit_weights import rows_of, source_for
from workbench.input_error import InputError
from workbench.jobs.requests import DescribeAnalyses, RunAnalysis
from workbench.labels import primary
from workbench.models.layer import Unit
from workbench.models.neighbours import sources_of
from workbench.unit_families import Family, families_with

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
        self._collapsed: dict[str, list[str]] = {}  # by the circuit's name
        self._analyses: dict[str, AnalysisCard] = {}
        self._asked_analyses = False
        self._wanted = ""  # name of the circuit to open when the investigation is there
        self._trace: RunAnalysis | None = None
        self._trace_job = 0
        self._trace_said = ""
        self.tools = CircuitTools(self)
        self.said = QLabel(self, wordWrap=True)
        self.said.setMargin(4)
        self.view = GraphHand(self)
        self.view.offers = self._fill_node_menu
        self.pictures = CircuitPictures(session, self)
        self.work = CircuitWork(session, self)
        self.measure = CircuitMeasure(session, self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for part in (self.tools, Badge(session, self), self.said):
            layout.addWidget(part)
        layout.addWidget(self.view, 1)
        self.setFocusProxy(self.view)
        self._wire()
        if session.circuit is None:
            self._open_first()
        self._on_circuit(session.circuit)

    def _wire(self) -> None:
        session, tools, view = self.session, self.tools, self.view
        session.circuit_changed.connect(self._on_circuit)
        session.project_changed.connect(self._on_project)
        session.model_changed.connect(lambda _card: self._show())
        session.images_changed.connect(lambda _card: self._show())
        session.touched.connect(self._show_cards)
        session.unit_changed.connect(lambda _unit: self._mark())
        stack = session.undo_stack
        stack.canUndoChanged.connect(tools.undo.setEnabled)
        stack.canRedoChanged.connect(tools.redo.setEnabled)
        tools.undo.setEnabled(stack.canUndo())
        tools.redo.setEnabled(stack.canRedo())
        tools.undo.clicked.connect(stack.undo)
        tools.redo.clicked.connect(stack.redo)
        tools.chooser.activated.connect(lambda index: session.open_circuit(edit.named(session.project, tools.chooser.itemText(index))))
        tools.whole.aboutToShow.connect(lambda: fill_menu(tools.whole, self.commands()))
        tools.units.aboutToShow.connect(lambda: fill_add_menu(tools.units, session, self.add_family))
        tools.inputs.clicked.connect(self.add_inputs)
        tools.connect_units.clicked.connect(self.connect_units)
        tools.collapse.clicked.connect(self.collapse)
        tools.remove.clicked.connect(self.remove)
        tools.trace.clicked.connect(self.open_trace)
        tools.live.toggled.connect(lambda _on: self._give_to_measure())
        tools.cancel.clicked.connect(self._cancel)
        tools.on_drawing(self._on_drawing)
        view.picked.connect(self._follow)
        view.opened.connect(lambda node: self.expand(node) if self._is_collapsible(node) else None)
        view.moved.connect(self._move)
        view.removal_wanted.connect(self.remove)
        view.selected.connect(self._on_selection)
        self.pictures.changed.connect(self._show_cards)
        self.work.changed.connect(self._tell)
        self.measure.changed.connect(self._tell)
        self.measure.measured.connect(lambda figures: edit.keep_figures(session, figures))
        self._on_drawing()

    # ------------------------------------------------------------------------------------------------ what is shown

    @property
    def circuit(self) -> Circuit | None:
        """The circuit that is open."""
        return self.session.circuit

    @property
    def _is_of_open_model(self) -> bool:
        circuit, model = self.circuit, self.session.model
        return circuit is not None and model is not None and circuit.model == model.ref

    def _on_project(self) -> None:
        self._collapsed.clear()
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
        self._show()

    def _families(self) -> list[str]:
        """Return the families of the circuit that are shown as one node."""
        circuit = self.circuit
        return self._collapsed.get(circuit.name, []) if circuit is not None else []

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
            shown = together(circuit, self._families())
            model = session.model.name if self._is_of_open_model and session.model is not None else circuit.model
            self.view.show_circuit(
                shown,
                rows_of(shown, list(session.layers) if self._is_of_open_model else []),
                roles=roles_of(circuit, session.layers if self._is_of_open_model else {}),
                captions=captions_of(circuit),
                edge_notes={ends: f"minimality: {interval(figure)}" for ends, figure in of_edges(circuit.figures).items()},
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
        if self.isVisible():
            self.pictures.want(circuit.model, [unit for address in circuit.units for unit in units_of(address)])
        self.view.show_cards({address: self._card(circuit, address) for address in self.view.circuit.units})
        layers = list(self.session.layers) if self._is_of_open_model else []
        self.view.recomputation = recomputation_of(circuit, layers, self.pictures)

    def _card(self, circuit: Circuit, address: str) -> Card:
        units = units_of(address)
        labels = self.session.project.labels.get(circuit.model, {})
        if len(units) > 1:
            family = self._family_of(units)
            pictures = tuple(self.pictures.image(circuit.model, unit) for unit in units[:TILES])
            return Card(address, f"{len(units)} units", family.name if family is not None else "", pictures)
        first = primary(labels.get(address, ()))
        return Card(address, str(units[0].index), first.name if first is not None else "", (self.pictures.image(circuit.model, units[0]),))

    def _family_of(self, units: tuple[Unit, ...]) -> Family | None:
        """Return the investigation's family that has all of these units."""
        circuit = self.circuit
        if circuit is None:
            return None
        numbers = {unit.index for unit in units}
        of_first = families_with(self.session.project.families, circuit.model, units[0].layer, units[0].index)
        return next((family for family in of_first if numbers <= set(family.units)), None)

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
        opens = len(nodes) == 1 and self._is_collapsible(nodes[0])
        tools.collapse.setText("Expand" if opens else "Collapse")
        tools.collapse.setAccessibleName(tools.collapse.text())
        tools.collapse.setEnabled(opens or bool(self._to_collapse()))
        if here and nodes and (layer := self.session.layers.get(layer_of(nodes[-1]))) is not None:
            layers = list(self.session.layers.values())
            tools.offer_sources([each.name for each in reversed(sources_of(layers, layer))])
            nearest = source_for(layers, layer.name)
            tools.source.setItemText(0, f"of {nearest}" if nearest else "no earlier layer")

    def _tell(self) -> None:
        """Say what is being computed, what went wrong, and what was measured."""
        circuit, measure, work = self.circuit, self.measure, self.work
        self.tools.cancel.setVisible(work.running or self._trace is not None)
        if work.said or self._trace_said:
            say(self.said, work.said or self._trace_said, wrong=work.wrong)
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
                family = self._family_of(units)
                numbers = tuple(unit.index for unit in units)
                session.select_together(numbers, family.name if family is not None and len(family.units) == len(units) else "")
        except ValueError as error:
            session.report(str(error))

    def add_selected(self) -> None:
        """Add the selected unit, or those selected together."""
        session = self.session
        if session.unit is not None:
            units = [str(Unit(session.layer, unit)) for unit in session.selection] or [str(session.unit)]
            edit.add_units(session, units, f"add {units[0]}" if len(units) == 1 else f"add {len(units)} units")
            self._select_new(units)

    def add_family(self, family: Family) -> None:
        """Add the units of a family, shown as one node."""
        units = [Unit(family.layer, unit) for unit in family.units]
        edit.add_units(self.session, [str(unit) for unit in units], f"add the family {family.name}")
        if len(units) > 1 and self.circuit is not None:
            self._take_together(address_of(units))

    def _select_new(self, units: list[str]) -> None:
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

    @staticmethod
    def _is_collapsible(node: str) -> bool:
        return len(units_of(node)) > 1

    def _to_collapse(self) -> str:
        """Return the address of what would be taken as one node: the selected nodes of a layer, else the family of the selected one."""
        circuit, nodes = self.circuit, self.view.selection
        if circuit is None or not nodes or len({layer_of(node) for node in nodes}) > 1:
            return ""
        if len(nodes) > 1:
            return address_of([unit for node in nodes for unit in units_of(node)])
        family = self._family_of(units_of(nodes[0]))
        there = [Unit(family.layer, unit) for unit in family.units] if family is not None else []
        there = [unit for unit in there if str(unit) in circuit.units]
        return address_of(there) if len(there) > 1 else ""

    def collapse(self) -> None:
        """Take the selected nodes as one, or a selected family apart again."""
        nodes = self.view.selection
        if len(nodes) == 1 and self._is_collapsible(nodes[0]):
            self.expand(nodes[0])
        elif address := self._to_collapse():
            self._take_together(address)

    def _take_together(self, address: str) -> None:
        circuit = self.circuit
        assert circuit is not None
        units = set(units_of(address))
        others = [family for family in self._families() if units.isdisjoint(units_of(family))]
        self._collapsed[circuit.name] = [*others, address]
        self._show()
        self._select_new([address])

    def expand(self, node: str) -> None:
        """Show the units of a node that stands for several."""
        circuit = self.circuit
        if circuit is None:
            return
        if node in self._families():
            self._collapsed[circuit.name].remove(node)
            self._show()
        else:
            edit.change_circuit(self.session, taken_apart(circuit, node), f"take {node} apart")
            self.session.inform("The weights of its single units are not known yet: Connect computes them.")
        self._select_new([str(unit) for unit in units_of(node)])

    # Circuits

    def new(self) -> None:
        """Begin an empty circuit."""
        edit.add_circuit(self.session, edit.new_circuit(self.session), "begin a circuit")

    def duplicate(self) -> None:
        """Go on in a copy."""
        if self.circuit is not None:
            edit.add_circuit(self.session, self.circuit, "duplicate the circuit")

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
        try:
            self._collapsed[name] = self._families()
            edit.change_circuit(self.session, replace(circuit, name=name), "rename the circuit")
        except InputError as error:
            self.session.report(str(error))

    # Analyses of circuits

    def _give_to_measure(self) -> None:
        wanted = self.tools.live.isChecked() and MEASURES_ANALYSIS in self._analyses and self.isVisible()
        self.measure.give(self.circuit if wanted else None)

    def _on_analyses(self, event: JobEvent) -> None:
        if event.state == "done":
            self._analyses = {card.name: card for card in event.result}
            self.tools.trace.setVisible(TRACE_ANALYSIS in self._analyses)
            self.tools.live.setVisible(MEASURES_ANALYSIS in self._analyses)
            self._give_to_measure()

    def open_trace(self) -> None:
        """Ask for the parameters of a trace."""
        if TRACE_ANALYSIS in self._analyses:
            dialog = TraceDialog(self.session, self._analyses[TRACE_ANALYSIS], self)
            dialog.wanted.connect(self.start_trace)
            dialog.open()

    def start_trace(self, parameters: dict[str, Any]) -> None:
        """Trace with these parameters; an older trace is given up."""
        session = self.session
        if session.model is None:
            return
        if self._trace is not None:
            session.relay.cancel(self._trace_job)
        self._trace = RunAnalysis(TRACE_ANALYSIS, parameters, session.model.ref, session.images.ref if session.images is not None else None)
        self._trace_said = "Tracing: waiting for its turn …"
        self._trace_job = session.relay.submit(self._trace, self._take_trace)
        self._tell()

    def _take_trace(self, event: JobEvent) -> None:
        if event.request is not self._trace:  # of one that was given up
            return
        if event.ended:
            self._trace, self._trace_said = None, ""
        elif event.total:
            self._trace_said = f"Tracing: {event.note or 'at work'}, {event.done / event.total:.0%}"
        if event.state == "failed":
            self.session.report(event.error, event.details)
        elif event.state == "done":
            self._open_traced(event.request, event.result.summary["circuit"])
        self._tell()

    def _open_traced(self, request: RunAnalysis, document: object) -> None:
        try:
            found = Circuit.from_document(document)
        except InputError as error:
            self.session.report(f"The trace gave no circuit: {error}")
            return
        found = replace(found, model=found.model or request.model, images=found.images or request.images or "")
        edit.add_circuit(self.session, edit.tidied(self.session, found), "trace")

    def _cancel(self) -> None:
        self.work.cancel()
        if self._trace is not None:
            self.session.relay.cancel(self._trace_job)

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
            "collapsed": {name: list(families) for name, families in self._collapsed.items() if families},
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
        kept = state.get("collapsed", {})
        self._collapsed = {
            str(name): [family for family in families if isinstance(family, str)]
            for name, families in (kept.items() if isinstance(kept, dict) else ())
            if isinstance(families, list)
        }
        self._wanted = str(state.get("circuit", ""))
        if (circuit := edit.named(self.session.project, self._wanted)) is not None:
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
