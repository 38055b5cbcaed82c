"""One unit, from all sides: what it looks for, what it responds to at every strength, how often, and what it does on your image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from PySide6.QtCore import QEvent, QObject, QSize, Qt, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from widgets.badge import Badge
from widgets.commands import Command
from widgets.docks import Panel
from widgets.elided_label import ElidedLabel
from widgets.sight import in_sight
from widgets.theme import set_icon
from widgets.unit_card.ablation import AblationSection
from widgets.unit_card.contributions import ContributionsSection
from widgets.unit_card.distribution import Distribution
from widgets.unit_card.examples import Examples
from widgets.unit_card.family import FamilySection
from widgets.unit_card.labels import UnitLabels
from widgets.unit_card.membership import Membership
from widgets.unit_card.neighbours import NeighboursSection
from widgets.unit_card.response import Response
from widgets.unit_card.section import Section
from widgets.unit_card.selectivity import SelectivitySection
from widgets.unit_card.visualizations import Visualizations
from workbench.models.layer import Unit

if TYPE_CHECKING:
    import numpy as np
    from PySide6.QtGui import QShowEvent

    from widgets.session import Session
    from widgets.views.view import View


BLIND = (
    "Pictures of {unit} are being labelled blind in the panel Evidence, so what is known of it is hidden.\n\n"
    "To see it, pause: Esc there, or Analysis › Label blind, or pause."
)


class InspectorPanel(Panel):
    """The card of the selected unit. Every request is superseded by that of the next unit, so the newest click wins."""

    id: ClassVar[str] = "inspector"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._unit: Unit | None = None
        self._unasked: list[Section] = []
        self._image_is_news = False  # what the unit does on it was not seen yet
        self._show_section = QTimer(self, singleShot=True, interval=0)  # once the sections have their new heights
        self._show_section.timeout.connect(self._scroll_to_section)
        self._settling = QTimer(self, singleShot=True)  # while it runs, what still grows is followed
        self.family = FamilySection(session)
        self.visualizations = Visualizations(session)
        self.examples = Examples(session)
        self.distribution = Distribution(session)
        self.response = Response(session)
        self.contributions = ContributionsSection(session)
        self.ablation = AblationSection(session)
        self.selectivity = SelectivitySection(session)
        self.neighbours = NeighboursSection(session)
        self.sections: dict[str, Section] = {
            "family": self.family,
            "visualizations": self.visualizations,
            "examples": self.examples,
            "histogram": self.distribution,
            "image": self.response,
            "contributions": self.contributions,
            "selectivity": self.selectivity,
            "neighbours": self.neighbours,
            "ablation": self.ablation,
        }
        for name, section in self.sections.items():
            section.place = f"{self.id}.{name}"
            section.outdated.connect(lambda section=section: self._unasked.append(section))
        self._sought: Section = self.response  # what is scrolled to
        self._build()
        self.examples.found.connect(self.distribution.show_found)
        self.response.measured.connect(self._on_measured)
        self.response.failed.connect(self._forget_news)
        self.response.shown.connect(self.contributions.show_image)
        self.response.position_picked.connect(self.contributions.ask_at)
        self.contributions.placed.connect(self.response.mark)
        self.ablation.picked.connect(session.drop_image)
        self.examples.picked.connect(session.drop_image)
        self.visualizations.picked.connect(session.drop_image)
        session.unit_changed.connect(self._on_unit)
        session.selection_changed.connect(lambda _units: self._renew(self.family))
        session.selection_changed.connect(lambda _units: self._renew(self.ablation))
        session.images_changed.connect(lambda _card: self.family.forget_images())
        session.images_changed.connect(lambda _card: self._renew(self.examples))
        session.images_changed.connect(
            lambda _card: [self._renew(s) for s in (self.family, self.distribution, self.selectivity, self.neighbours, self.ablation)]
        )
        session.image_changed.connect(self._on_image)
        session.reading_changed.connect(self._show_unit_or_say)
        session.blind_changed.connect(self._on_blind)
        self.scroll.verticalScrollBar().rangeChanged.connect(self._follow_growth)
        self.scroll.verticalScrollBar().actionTriggered.connect(lambda _action: self._settling.stop())  # the user scrolls
        self._on_unit(session.unit)

    def _build(self) -> None:
        self.address = ElidedLabel(parent=self, mode=Qt.TextElideMode.ElideMiddle)
        self.address.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        font = self.address.font()
        font.setBold(True)
        font.setPointSizeF(font.pointSizeF() * 1.15)
        self.address.setFont(font)
        self.copy = QToolButton(self)
        set_icon(self.copy, "copy")
        self.copy.setAutoRaise(True)
        self.copy.setToolTip("Copy the unit's address: Ctrl+G, a note and the command line take it")
        self.copy.setAccessibleName("Copy the unit's address")
        self.copy.clicked.connect(self._copy_address)
        self.about = QLabel(self)
        self.about.setWordWrap(True)
        self.badge = Badge(self.session, self)
        self.labels = UnitLabels(self.session)
        self.membership = Membership(self.session)
        self.twin = QToolButton(self)
        self.twin.setText("Twin")
        self.twin.setCheckable(True)
        self.twin.setAutoRaise(True)
        self.twin.setToolTip("Put the same figures of a network with random weights beside these: what the architecture does untrained")
        self.twin.setAccessibleName("Show the random-weight twin")
        self.twin.toggled.connect(self.session.show_twin)
        self.session.twin_changed.connect(self.twin.setChecked)
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(self.address, 1)
        line.addWidget(self.twin)
        line.addWidget(self.copy)
        self.header = QWidget(self)
        header = QVBoxLayout(self.header)
        header.setContentsMargins(8, 6, 8, 2)
        header.setSpacing(3)
        header.addLayout(line)
        header.addWidget(self.about)
        header.addWidget(self.badge)
        header.addWidget(self.labels)
        header.addWidget(self.membership)

        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        for section in self.sections.values():
            column.addWidget(section)
        column.addStretch(1)
        self.scroll = Column(self)
        self.scroll.setFrameShape(QFrame.Shape.NoFrame)
        self.scroll.setWidgetResizable(True)
        self.scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.scroll.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)  # else widths would swing
        self.scroll.setWidget(content)
        self.empty = QLabel(self)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.empty.setWordWrap(True)
        self.empty.setMargin(24)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addWidget(self.header)
        whole.addWidget(self.scroll, 1)
        whole.addWidget(self.empty, 1)

    # ------------------------------------------------------------------------------------------------ the unit

    def _on_unit(self, unit: Unit | None) -> None:
        """Turn to another unit."""
        self._settling.stop()
        self._unit = unit
        self.labels.show_unit(self.session.owner(unit.layer) if unit is not None else "", unit)
        self._show_unit_or_say()
        if unit is None:
            self._unasked.clear()
            for section in self.sections.values():
                section.unit = None
            return
        layer = self.session.layers[unit.layer]
        self.address.setText(str(unit))
        positions = " × ".join(map(str, layer.positions))
        parts = (
            layer.kind,
            f"{layer.role}-activation" if layer.role else "",
            f"unit {unit.index:,} of {layer.units:,}",
            f"{positions} positions" if positions else "",
        )
        self.about.setText(" · ".join(part for part in parts if part))
        for section in self.sections.values():
            section.show_unit(unit)
        self._unasked = list(self.sections.values())
        self._ask()

    def _copy_address(self) -> None:
        if self._unit is not None:
            QGuiApplication.clipboard().setText(str(self.session.addresses.of_unit(self._unit)))

    def show_part(self, part: str) -> None:
        """Unfold a section and scroll to it, whatever grows above it meanwhile."""
        if part in self.sections:
            self.sections[part].open = True
            self._seek(self.sections[part], settling=60_000)  # a network may have to be loaded for what stands above

    @property
    def _may_show(self) -> bool:
        return self._unit is not None and not self.session.blind

    def _on_blind(self, blind: bool) -> None:
        """Hide the unit, or show it anew: what was to be told of it meanwhile was not asked."""
        if blind:
            self._show_unit_or_say()
        else:
            self._on_unit(self.session.unit)  # of another network, where one was just opened

    def _show_unit_or_say(self) -> None:
        """Show the unit, or say why not: what is missing before it can be shown, and that an image waits for it."""
        session = self.session
        for part in (self.header, self.scroll):
            part.setVisible(self._may_show)
        self.empty.setVisible(not self._may_show)
        if self._unit is not None:
            self.empty.setText(BLIND.format(unit=self._unit) if session.blind else "")
            return
        parts = []
        if session.reading:
            parts.append(f"Reading {session.reading} …")
        elif session.image is not None:
            parts.append(f"{session.image_name or 'Your image'} is here.")
        if session.model is None:
            parts.append("No network is open. Choose one in the panel Model.")
        else:
            parts.append("Click a unit in the panel Neurons to see what it responds to.")
            if session.image is not None:
                parts[-1] = "Click a unit in the panel Neurons to see where in it the unit is active."
        self.empty.setText("\n\n".join(parts))

    def _on_image(self, image: np.ndarray | None) -> None:
        """Show what the unit does on another image, and bring it into sight."""
        self._image_is_news = image is not None
        self._show_unit_or_say()
        self._renew(self.response)
        self._renew(self.family)

    def _on_measured(self, value: float | None) -> None:
        self.distribution.mark(value)
        if value is not None and self._image_is_news:
            self._image_is_news = False
            self._seek(self.response, settling=500)

    def _forget_news(self) -> None:
        self._image_is_news = False

    def _seek(self, section: Section, settling: int = 0) -> None:
        """Scroll to a section, and so many milliseconds long again whenever something has grown."""
        self._sought = section
        self._show_section.start()
        if settling:
            self._settling.start(settling)

    def _follow_growth(self) -> None:
        if self._settling.isActive():
            self._show_section.start()

    def _scroll_to_section(self) -> None:
        self.scroll.ensureWidgetVisible(self._sought, 0, 0)

    def _renew(self, section: Section) -> None:
        """Let a section begin anew for the same unit: other images, another image."""
        if self._unit is not None:
            section.begin()
            self._unasked.append(section)
            self._ask()

    def _ask(self) -> None:
        """Ask for what is to be shown, unless nobody can see it."""
        if in_sight(self):
            waiting, self._unasked = list(dict.fromkeys(self._unasked)), []
            for section in waiting:
                section.ask()
            if self._unit is not None and self._image_is_news:
                self.response.open = True
                self._seek(self.response)

    def showEvent(self, event: QShowEvent) -> None:
        """Ask for what was not asked while the panel was hidden."""
        super().showEvent(event)
        self._ask()

    # ------------------------------------------------------------------------------------------------ the panel's contract

    def save_state(self) -> dict[str, Any]:
        """Keep which sections are folded, what each of them keeps, and who gives labels."""
        sections = {name: {"open": section.open, **section.save_state()} for name, section in self.sections.items()}
        return sections | {"author": self.labels.me}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take them back."""
        for name, section in self.sections.items():
            of_section = state.get(name, {})
            section.open = bool(of_section.get("open", True))
            section.restore_state(of_section)
        if isinstance(author := state.get("author"), str):
            self.labels.me = author

    def commands(self) -> tuple[Command, ...]:
        """Offer to label the unit from anywhere."""

        def begin() -> None:
            self.session.panels_wanted.emit((self.id,))
            self.labels.begin()

        return (
            Command(
                "edit.label",
                "Label unit…",
                begin,
                "Type a name for the selected unit, with how sure you are and why; it is saved with the investigation.",
                "Edit",
                "Ctrl+L",
                "labels",
                enabled=lambda: self._may_show,
            ),
        )

    def views(self) -> list[View]:
        """What is shown now: visualizations, examples, histogram, image, classes."""
        return (
            [view for section in self.sections.values() for view in section.views()] if self._may_show else []
        )


class Column(QScrollArea):
    """Scrolls up and down only, so it is never narrower than what is in it."""

    def minimumSizeHint(self) -> QSize:
        """Ask for the width of the content and the scroll bar."""
        content = self.widget().minimumSizeHint().width() if self.widget() is not None else 0
        width = content + self.verticalScrollBar().sizeHint().width()
        return QSize(width, super().minimumSizeHint().height())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Ask again when the content was laid out anew."""
        if event.type() == QEvent.Type.LayoutRequest and watched is self.widget():
            self.updateGeometry()
        return super().eventFilter(watched, event)

