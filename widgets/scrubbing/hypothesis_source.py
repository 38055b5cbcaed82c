"""Where a hypothesis begins: what is selected, the circuit that is open, or the curve that a unit detects; or a file, where it may end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QMenu, QToolButton, QWidget

from widgets.popup import opens
from workbench.circuit import layer_of
from workbench.circuit_families import address_of
from workbench.circuit_hypothesis import outputs, treeified
from workbench.hypothesis import Hypothesis, Node
from workbench.input_error import InputError
from workbench.labels import primary
from workbench.models.layer import Unit
from workbench.owner import known_of

if TYPE_CHECKING:
    from widgets.session import Session

POOLED = 6
"""Children a node may have when a circuit is pooled."""
MOST_OUTPUTS = 8
"""Units of a circuit that are offered, at most."""


def selected_node(session: Session, feature: str = "itself") -> Node | None:
    """Return a node of what is selected, called by its family or its label; None where nothing is."""
    units = [Unit(session.layer, unit) for unit in session.selection] or ([session.unit] if session.unit is not None else [])
    if not units or session.model is None:
        return None
    address = address_of(units)
    label = primary(known_of(session.project.labels, session.model.ref, session.layer).get(address, ()))
    return Node(" ".join((session.family or (label.name if label is not None else "") or address).split()), address, feature)


class FileButton(QToolButton):
    """Offers a hypothesis to be read from a file, and to be written into one.

    Attributes
    ----------
    out
        The second of these.
    """

    def __init__(self, read: Callable[[], object], write: Callable[[], object], parent: QWidget) -> None:
        super().__init__(parent, text="File", toolTip="Bring a hypothesis in from a file, or write this one")
        self.offers = QMenu(self)
        self.offers.setToolTipsVisible(True)
        self.offers.addAction("Import hypothesis…", read).setToolTip("Take one from a JSON file into the investigation")
        self.out = self.offers.addAction("Export hypothesis…", write)
        self.out.setToolTip("Write this one as JSON, which the command line takes, too")
        opens(self, self.offers)


class NewButton(QToolButton):
    """Offers what a hypothesis can begin from.

    Parameters
    ----------
    made
        Takes a new hypothesis and what the edit is called.
    curve
        Asks for the curve hypothesis of the selected unit.
    refused
        Takes why there is none.
    """

    def __init__(
        self,
        session: Session,
        made: Callable[[Hypothesis, str], None],
        curve: Callable[[], None],
        refused: Callable[[str], None],
        parent: QWidget,
    ) -> None:
        super().__init__(parent, text="New", toolTip="Begin a hypothesis from the selection, a circuit, or a curve detector")
        self._session, self._made, self._curve, self._refused = session, made, curve, refused
        self.offers = QMenu(self)
        self.offers.setToolTipsVisible(True)
        self.offers.aboutToShow.connect(self.fill)
        opens(self, self.offers)

    def fill(self) -> None:
        """Offer what can be begun from now."""
        menu, session = self.offers, self._session
        menu.clear()
        node, circuit = selected_node(session, "all"), session.circuit
        name = node.units if node is not None else "the selected unit"
        blank = menu.addAction(f"About {name}", self.blank)
        blank.setToolTip("A tree with nothing below the root; add what it is computed from")
        blank.setEnabled(node is not None)
        curve = menu.addAction(f"Curve hypothesis of {session.unit or 'the selected unit'}", self._curve)
        curve.setToolTip("A curve is computed from lines along its arc, and these from Gabor filters; measured with stimuli")
        curve.setEnabled(session.unit is not None)
        if circuit is None or not circuit.edges or session.model is None or not (circuit.model == "" or session.is_open(circuit.model)):
            none = menu.addAction("From the circuit")
            none.setToolTip("Open or trace a circuit of this network in the panel Circuit")
            none.setEnabled(False)
            return
        for unit in outputs(circuit)[:MOST_OUTPUTS]:
            for pool, how in ((0, ""), (POOLED, f", at most {POOLED} children a node")):
                menu.addAction(f"{unit} of the circuit {circuit.name}{how}", lambda u=unit, p=pool: self.from_circuit(u, p))

    def blank(self) -> None:
        """Begin with the selection as the root."""
        node, model, images = selected_node(self._session, "all"), self._session.model, self._session.images
        if node is not None and model is not None:
            owner = self._session.owner(layer_of(node.units))
            new = Hypothesis(node, f"{node.name}", owner, images.ref if images is not None else "")
            self._made(new, f"a hypothesis about {node.name}")

    def from_circuit(self, unit: str, pool: int = 0) -> None:
        """Make the open circuit a tree below one of its units."""
        circuit, model = self._session.circuit, self._session.model
        assert circuit is not None
        assert model is not None
        try:
            made = treeified(circuit, unit, pool)
        except InputError as error:
            self._refused(str(error))
            return
        self._made(Hypothesis(made.root, made.name, circuit.model or model.ref, made.images), f"a hypothesis of the circuit {circuit.name}")
