"""What one can do with the circuit in the panel, as commands of the window; adding units works without it (`window_commands`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from widgets.circuit_edit import add_circuit, ask_and_export, ask_and_open, new_circuit
from widgets.circuit_trace import TRACE, TREE
from widgets.commands import Command

if TYPE_CHECKING:
    from widgets.panels.circuit_graph import CircuitGraphPanel

MENU = "Circuit"


def circuit_commands(panel: CircuitGraphPanel) -> tuple[Command, ...]:
    """Declare them; each acts on the circuit that is open in the panel."""
    session, tools = panel.session, panel.tools

    def is_open() -> bool:
        return session.circuit is not None

    def has_units() -> bool:
        return session.circuit is not None and bool(session.circuit.units)

    return (
        Command(
            "circuit.add_inputs",
            "Add strongest inputs",
            panel.add_inputs,
            "Add the units of an earlier layer that the node selected in the graph is built from most, with their weights.",
            MENU,
            "Ctrl+Shift+U",
            "units",
            enabled=tools.inputs.isEnabled,
        ),
        Command(
            "circuit.connect",
            "Connect units",
            panel.connect_units,
            "Compute the weights between all units of the circuit, from each layer to the next.",
            MENU,
            "Ctrl+Shift+L",
            "units",
            enabled=tools.connect_units.isEnabled,
        ),
        Command(
            "circuit.weigh",
            "Weights of edges",
            panel.weigh_edges,
            "Compute the weights of the edges that are there, such as those that a trace found, and add none.",
            MENU,
            section="units",
            enabled=lambda: tools.connect_units.isEnabled() and bool(session.circuit.edges),
        ),
        Command(
            "circuit.collapse",
            "Collapse or expand family",
            panel.collapse,
            "Show the nodes selected in the graph, or the family of the selected one, as one node; or a node of several as its units.",
            MENU,
            "Ctrl+Shift+F",
            "units",
            enabled=tools.collapse.isEnabled,
        ),
        Command(
            "circuit.remove",
            "Remove from circuit",
            panel.remove,
            "Remove the nodes selected in the graph with their edges, or the selected edge; Del does it in the graph.",
            MENU,
            section="units",
            enabled=tools.remove.isEnabled,
        ),
        Command(
            "circuit.tidy",
            "Tidy circuit",
            panel.tidy,
            "Order the units of each layer so that few edges cross; where you moved units, they are moved again.",
            MENU,
            section="units",
            enabled=has_units,
        ),
        Command(
            "circuit.trace",
            "Trace circuit…",
            lambda: panel.open_search(TRACE),
            "Let the paths that matter most for a unit be found and tested; what is found opens as a circuit.",
            MENU,
            section="analyses",
            enabled=lambda: not tools.trace.isHidden() and session.model is not None,
        ),
        Command(
            "circuit.tree",
            "Rebuild unit from few…",
            lambda: panel.open_search(TREE),
            "Find the few earlier units that a unit is built from, the few those are built from, and so on; the tree opens as a circuit.",
            MENU,
            section="analyses",
            enabled=lambda: not tools.tree.isHidden() and session.model is not None,
        ),
        Command(
            "circuit.measure",
            "Measure after each edit",
            tools.live.toggle,
            "Measure faithfulness, completeness and minimality of the circuit half a second after each edit, or leave it.",
            MENU,
            section="analyses",
            enabled=lambda: not tools.live.isHidden(),
            checked=tools.live.isChecked,
        ),
        Command(
            "circuit.new",
            "New circuit",
            lambda: add_circuit(session, new_circuit(session), "begin a circuit"),
            "Begin an empty circuit; the one that is open stays in the list.",
            MENU,
            section="circuits",
        ),
        Command(
            "circuit.rename",
            "Rename circuit…",
            panel.ask_for_name,
            "Give the circuit that is open another name.",
            MENU,
            section="circuits",
            enabled=is_open,
        ),
        Command(
            "circuit.duplicate",
            "Duplicate circuit",
            lambda: add_circuit(session, session.circuit, "duplicate the circuit"),
            "Go on in a copy of the circuit that is open.",
            MENU,
            section="circuits",
            enabled=is_open,
        ),
        Command(
            "circuit.delete",
            "Delete circuit",
            panel.delete,
            "Take the circuit that is open out of the investigation; undo brings it back.",
            MENU,
            section="circuits",
            enabled=is_open,
        ),
        Command(
            "circuit.open",
            "Open circuit…",
            lambda: ask_and_open(session, panel),
            "Open a circuit from a file of JSON, such as one that was exported here or found on a cluster.",
            MENU,
            section="files",
        ),
        Command(
            "circuit.export_json",
            "Export circuit as JSON…",
            lambda: ask_and_export(session, panel),
            "Write units, edges and figures of the circuit that is open as JSON; Export view… writes the picture.",
            MENU,
            section="files",
            enabled=is_open,
        ),
    )
