"""The editor of a hypothesis: its tree, the fields of the chosen node, and what is wrong where, looked for after every change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QLabel, QLineEdit, QSplitter, QVBoxLayout, QWidget

from widgets.buttons import push_button
from widgets.hypothesis_edit import change_hypothesis
from widgets.line_of import line_of
from widgets.project_edit import UndoKeys
from widgets.scrubbing.hypothesis_source import POOLED, selected_node
from widgets.scrubbing.hypothesis_tree import HypothesisTree, occupied
from widgets.scrubbing.node_form import NodeForm
from widgets.scrubbing.run_settings import SEED, RunSettings
from widgets.sight import in_sight
from workbench.circuit_hypothesis import pooled
from workbench.input_error import InputError
from workbench.jobs.scrubbing_requests import InspectHypothesis

if TYPE_CHECKING:
    from collections.abc import Mapping

    from widgets.session import Session
    from workbench.hypothesis import Hypothesis, Node, NodeCard
    from workbench.jobs.job import JobEvent


class HypothesisEditor(QSplitter):
    """Shows one hypothesis of the investigation; every change is an edit of the investigation that can be taken back.

    Attributes
    ----------
    settings
        What a run compares, and how much it draws.
    """

    said = Signal(str, bool)
    """A line for the user, and whether something went wrong."""
    renamed = Signal(str)
    """Another name of the hypothesis, just before it gets it."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(Qt.Orientation.Vertical, parent)
        self._session = session
        self._hypothesis: Hypothesis | None = None
        self._node = ""
        self._cards: dict[str, NodeCard] = {}
        self._wrong: dict[str, str] = {}
        self._inspected: InspectHypothesis | None = None
        self._trial: InspectHypothesis | None = None
        self.tree = HypothesisTree(self)
        self.tree.chosen.connect(self._choose)
        self.child = push_button(self, "Add child", "Put what is selected below the chosen node, as one node", self._add_child)
        self.each = push_button(self, "One each", "Put every selected unit below the chosen node, as a node of its own", self._add_each)
        self.remove = push_button(self, "Remove", "Take the chosen node away, and all below it", self._remove)
        self.pool = push_button(
            self, "Pool", f"Take leaves of one layer and feature together, until no node has more than {POOLED} children", self._pool
        )
        self.form = NodeForm(session, self)
        self.form.edited.connect(self._edit)
        self.form.tried.connect(self._try)
        self.form.selection_wanted.connect(self._take_selection)
        self.rivals = QLineEdit(self, placeholderText="NAME=FEATURE; *=FEATURE")
        self.rivals.setAccessibleName("Rivals")
        self.rivals.setToolTip(
            "Other features that the hypothesis is compared with, separated by semicolons:\n"
            "lines=orientation / 8 for the node lines, *=activation / 5 for all nodes"
        )
        self.rivals.editingFinished.connect(self._set_rivals)
        UndoKeys(session, self.rivals, own_first=True)
        self.settings = RunSettings(self)
        self.settings.inspected.connect(self._on_settings)
        self.upper, self.lower = QWidget(self), QWidget(self)
        column = QVBoxLayout(self.upper)
        column.addWidget(self.tree, 1)
        column.addLayout(line_of(self.child, self.each, self.remove, self.pool, None))
        fields = QVBoxLayout(self.lower)
        fields.addWidget(self.form)
        fields.addLayout(line_of(QLabel("Rivals", self), self.rivals))
        fields.addWidget(self.settings)
        fields.addStretch(1)
        for layout in (column, fields):
            layout.setContentsMargins(0, 0, 0, 0)
            layout.setSpacing(2)
        for part, stretch in ((self.upper, 1), (self.lower, 0)):
            self.addWidget(part)
            self.setStretchFactor(self.count() - 1, stretch)
        self.setChildrenCollapsible(False)
        self.lay_out(narrow=False)
        session.unit_changed.connect(lambda _unit: self._offer())
        session.selection_changed.connect(lambda _units: self._offer())

    def lay_out(self, *, narrow: bool) -> None:
        """Put the fields below the tree, or beside it where there is little height."""
        self.setOrientation(Qt.Orientation.Horizontal if narrow else Qt.Orientation.Vertical)
        self.setSizes([50, 50] if narrow else [1000, 1])

    # ------------------------------------------------------------------------------------------------ what is shown

    def show_columns(self, columns: Mapping[str, int]) -> None:
        """Offer the columns of the open images; what was known of nodes on other images is forgotten."""
        self.form.show_columns(columns)
        self._forget()
        self.tree.mark(self._cards, self._wrong)
        self._say_of_node()

    def show_hypothesis(self, hypothesis: Hypothesis | None) -> None:
        """Show this one, or another version of it: the chosen node stays."""
        if hypothesis is not None and hypothesis is self._hypothesis:  # else what is typed there would be lost
            self.inspect()
            return
        before, self._hypothesis = self._hypothesis, hypothesis
        if before is None or hypothesis is None or before.name != hypothesis.name:
            self._forget()
        self.setVisible(hypothesis is not None)
        self.tree.show_hypothesis(hypothesis, self._node)
        self._node = self.tree.current
        self.tree.mark(self._cards, self._wrong)
        self.rivals.setText("; ".join(hypothesis.rivals) if hypothesis is not None else "")
        self._show_node()
        self.inspect()

    def _forget(self) -> None:
        self._cards.clear()
        self._wrong.clear()
        self._inspected = None

    def choose(self, name: str) -> None:
        """Move to a node."""
        self.tree.choose(name)
        self._choose(self.tree.current)

    def refuse(self, reasons: Mapping[str, str]) -> None:
        """Say at nodes why a run would not have them; nothing for none."""
        self._wrong = dict(reasons)
        self.tree.mark(self._cards, self._wrong)
        for name in reasons:
            self.choose(name)

    def _choose(self, name: str) -> None:
        self._node = name
        self._show_node()

    def _show_node(self) -> None:
        shown = self._hypothesis
        node = shown.node(self._node) if shown is not None and self._node else None
        self.form.show_node(node, is_root=node is not None and shown is not None and node is shown.root)
        self._say_of_node()
        self._offer()

    def _say_of_node(self) -> None:
        card = self._cards.get(self._node)
        reason = self._wrong.get(self._node) or (f"{card.field}: {card.reason}" if card is not None and card.reason else "")
        self.form.say(reason or (occupied(card) if card is not None and card.labels else ""), bool(reason))

    def _offer(self) -> None:
        """Let only be done what can be."""
        shown, session = self._hypothesis, self._session
        selected = session.model is not None and (bool(session.selection) or session.unit is not None)
        for button, can in (
            (self.child, shown is not None and selected),
            (self.each, shown is not None and len(session.selection) > 1),
            (self.remove, shown is not None and self._node not in ("", shown.root.name)),
            (self.pool, shown is not None and pooled(shown, POOLED) != shown),
            (self.form.take, shown is not None and selected),
        ):
            button.setEnabled(can)

    # ------------------------------------------------------------------------------------------------ editing

    def change(self, after: Hypothesis, text: str) -> bool:
        """Put another version in the place of what is shown; say so where that cannot be."""
        before = self._hypothesis
        if before is None:
            return False
        self._wrong.clear()
        self.renamed.emit(after.name)
        try:
            change_hypothesis(self._session, before, after, text)
        except InputError as error:
            self.renamed.emit(before.name)
            self.said.emit(str(error), True)
            return False
        return True

    def _edit(self, name: str, after: Node) -> None:
        """Take what was written into the fields of a node."""
        shown = self._hypothesis
        if shown is None:
            return
        try:
            changed = shown.changed(name, lambda _node: after)
        except InputError as error:
            self.form.say(str(error), wrong=True)
            return
        self._node = after.name
        self.change(changed, f"change the node {name}")

    def _take_selection(self) -> None:
        shown, selected = self._hypothesis, selected_node(self._session)
        if shown is not None and selected is not None and self._node:
            self._edit(self._node, replace(shown.node(self._node), units=selected.units))

    def _add_child(self) -> None:
        selected = selected_node(self._session)
        if selected is not None:
            self._add_nodes([selected])

    def _add_each(self) -> None:
        first, layer = selected_node(self._session), self._session.layer
        if first is not None:
            self._add_nodes([replace(first, name=f"{layer}:{unit}", units=f"{layer}:{unit}") for unit in self._session.selection])

    def _add_nodes(self, nodes: list[Node]) -> None:
        after, parent, name = self._hypothesis, self._node, ""
        if after is None or not parent:
            return
        try:
            for node in nodes:
                name = after.free_name(node.name)
                after = after.with_child(parent, replace(node, name=name))
        except InputError as error:
            self.said.emit(str(error), True)
            return
        one = len(nodes) == 1
        self._node = name if one else parent
        self.change(after, f"add {name}" if one else f"add {len(nodes)} nodes")

    def _remove(self) -> None:
        shown = self._hypothesis
        if shown is not None and self._node and (above := shown.parent(self._node)) is not None:
            gone, self._node = self._node, above.name
            self.change(shown.without(gone), f"remove {gone}")

    def _pool(self) -> None:
        if self._hypothesis is not None:
            self.change(pooled(self._hypothesis, POOLED), "pool children")

    def _set_rivals(self) -> None:
        shown = self._hypothesis
        if shown is not None:
            self.change(replace(shown, rivals=tuple(filter(None, map(str.strip, self.rivals.text().split(";"))))), "change the rivals")

    # ------------------------------------------------------------------------------------------------ checking

    def _on_settings(self) -> None:
        """Look again: a run may have been refused because of what was set."""
        self.refuse({})
        self._say_of_node()
        self.inspect()

    def _inspection(self, root: Node) -> InspectHypothesis | None:
        model, images = self._session.model, self._session.images
        if model is None:
            return None
        asked = self.settings.parameters(cells=False)
        return InspectHypothesis(model.ref, images.ref if images is not None else "", root, asked["images"], SEED, asked["loss"])

    def inspect(self) -> None:
        """Have the worker look for what is wrong, if somebody is looking."""
        shown = self._hypothesis
        wanted = self._inspection(shown.root) if shown is not None else None
        self._trial = None
        if wanted is None or not in_sight(self):
            self._inspected = None
        elif wanted != self._inspected:
            self._inspected = wanted
            self._session.relay.submit(wanted, self._take_cards)

    def _try(self, node: Node) -> None:
        """Count the labels of a feature that is being typed."""
        shown = self._hypothesis
        if shown is None:
            return
        try:
            self._trial = self._inspection(shown.changed(self._node, lambda _old: node).root)
        except InputError as error:
            self.form.say(str(error), wrong=True)
            return
        if self._trial is not None:
            self._inspected = None  # the newest wins: what is in the investigation is looked at again when it changes
            self._session.relay.submit(self._trial, self._take_cards)

    def _take_cards(self, event: JobEvent) -> None:
        if event.state == "failed" and event.request is self._inspected:
            self.said.emit(event.error, True)
        if event.state != "done":
            return
        if event.request is self._inspected:
            self._cards = {card.name: card for card in event.result}
            self.tree.mark(self._cards, self._wrong)
            self._say_of_node()
        elif event.request is self._trial:
            card = next((one for one in event.result if one.name == self._node), None)
            if card is not None:
                self.form.say(f"{card.field}: {card.reason}" if card.reason else occupied(card) if card.labels else "", bool(card.reason))
