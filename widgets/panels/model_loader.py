"""The model panel: choose a network and images; see what the network is and what it is made of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QFont, QGuiApplication, QResizeEvent
from PySide6.QtWidgets import (
    QComboBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QSizePolicy,
    QSplitter,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from widgets.docks import Panel
from widgets.elided_label import ElidedLabel
from widgets.file_dialogs import ask_for_folder
from widgets.layer_tree import LayerTree
from widgets.scrolled import scrolled
from widgets.session import Session
from widgets.source_tree import SourceTree
from widgets.theme import set_colour, set_icon
from workbench.models.loading import Reference

if TYPE_CHECKING:
    from workbench.jobs.job import JobEvent
    from workbench.jobs.requests import ImageSetCard, ModelCard

IMAGE_SETS = (
    ("Emoji", "emoji"),
    ("Emoji on random backgrounds", "emoji?background=random"),
    ("Sample photos", "photos"),
    ("Stimuli: lines", "stimuli:lines"),
    ("Stimuli: curves", "stimuli:curves"),
    ("Stimuli: gratings", "stimuli:gratings"),
    ("Stimuli: corners", "stimuli:corners"),
    ("Stimuli: line ends", "stimuli:line_ends"),
    ("Stimuli: circles", "stimuli:circles"),
    ("Stimuli: checkers", "stimuli:checkers"),
    ("Stimuli: high beside low frequency", "stimuli:high_low"),
    ("Stimuli: centre and surround", "stimuli:centre_surround"),
    ("Stimuli: patches of colour", "stimuli:patches"),
    ("Stimuli: colours", "stimuli:colours"),
    ("Data set of torchvision …", "torchvision:NAME?root=PATH&download=true"),
    ("Image files …", "files:PATH;PATH"),
)
"""What the chooser offers: title and reference; capitals are for the user to fill in."""
TO_FILL_IN = re.compile("NAME|PATH")


class ModelLoaderPanel(Panel):
    """Sources as a searchable tree, what is loading, the model card, the image set, and the layers."""

    id = "model_loader"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.sources = SourceTree()
        self.sources.chosen.connect(session.open_model)
        self.loading = Loading(session)
        self.images = ImageChooser(session)
        self.card = Card()
        self.layers = LayerTree(session)
        self.card.chosen.connect(self._choose_inputs)
        session.loading.connect(self._on_loading)
        top = QWidget()
        column = QVBoxLayout(top)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.sources, 1)
        column.addWidget(self.loading)
        bottom = QWidget()
        column = QVBoxLayout(bottom)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self.card)
        column.addWidget(self.images)
        column.addWidget(self.layers, 1)
        self.splitter = QSplitter(Qt.Orientation.Vertical, childrenCollapsible=False)
        self.splitter.addWidget(top)
        self.splitter.addWidget(bottom)
        self.splitter.setStretchFactor(1, 1)
        self.splitter.setSizes([150, 780])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(scrolled(self.splitter, tab_stop=False))
        self.setMinimumSize(200, 120)
        self.setFocusProxy(self.sources.field)

        session.model_changed.connect(self._show_model)
        self._show_model(session.model)
        from workbench.jobs.requests import ListSources

        session.relay.submit(ListSources(), self._on_sources)

    def _show_model(self, card: ModelCard | None) -> None:
        self.card.show_card(card)
        self.layers.show_layers(card.layers if card is not None else ())

    def _choose_inputs(self, texts: dict[str, str]) -> None:
        """Open the same network reading something else beside the image."""
        model = self.session.model
        if model is None:
            return
        ref = Reference.parse(model.ref)
        for option, text in texts.items():
            if text != model.further[option][0]:
                ref = ref.having(option, text)
        self.session.open_model(str(ref), layer=self.session.layer, unit=self.session.unit)

    def _on_loading(self, event: JobEvent) -> None:
        """Show what is open in place of what was chosen or typed and did not come."""
        from workbench.jobs.requests import OpenImages

        if event.state not in ("failed", "cancelled") or not self.session.is_newest(event):
            return
        if isinstance(event.request, OpenImages):
            self.images.show_images(self.session.images)
        else:
            self.card.show_card(self.session.model)

    def _on_sources(self, event: JobEvent) -> None:
        if event.state == "done":
            self.sources.fill(event.result)
        elif event.state == "failed":
            self.sources.say(f"The list of networks is not available: {event.error}")

    def save_state(self) -> dict[str, Any]:
        """Remember how the panel is divided and what the layers are filtered by."""
        return {"sizes": self.splitter.sizes(), "layer_filter": self.layers.field.text()}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Divide the panel as it was."""
        sizes = state.get("sizes")
        if isinstance(sizes, list) and len(sizes) == self.splitter.count():
            self.splitter.setSizes(sizes)
        self.layers.field.setText(str(state.get("layer_filter", "")))


class Loading(QWidget):
    """What is being opened, how far it is, and a way to stop it; hidden when nothing is."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: dict[int, JobEvent] = {}
        self._text = QLabel(wordWrap=True)
        self.bar = QProgressBar(maximumHeight=12, textVisible=False)
        self.cancel = QToolButton(text="Cancel", toolTip="Stop opening; what was open stays")
        self.cancel.clicked.connect(self._cancel)
        line = QHBoxLayout()
        line.addWidget(self.bar, 1)
        line.addWidget(self.cancel)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 2, 0, 2)
        layout.setSpacing(3)
        layout.addWidget(self._text)
        layout.addLayout(line)
        self.hide()
        self._session = session
        session.loading.connect(self._show_event)

    def _cancel(self) -> None:
        self.cancel.setEnabled(False)
        self.cancel.setText("Cancelling…")  # an import or an export goes on to its next step
        self._session.cancel_loading()

    def _show_event(self, event: JobEvent) -> None:
        if event.ended:
            self._shown.pop(event.job, None)
        else:
            self._shown[event.job] = event
        self.setVisible(bool(self._shown))
        if not self._shown:
            self.cancel.setEnabled(True)
            self.cancel.setText("Cancel")
            return
        event = next(iter(self._shown.values()))
        note = event.note or {"queued": "waiting", "running": "starting"}.get(event.state, "")
        self._text.setText(f"{event.request.title}: {note}" if note else event.request.title)
        self.bar.setRange(0, 1000 if event.total else 0)
        if event.total:
            self.bar.setValue(round(1000 * event.done / event.total))


class Card(QFrame):
    """What is known of the open network; what it reads beside the image can be changed here."""

    chosen = Signal(object)
    """What is to be read now, by option, such as ``prompt``."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.setAccessibleName("Model card")
        self._hash = ""
        self.title = ElidedLabel()
        font = QFont(self.title.font())
        font.setPointSizeF(font.pointSizeF() * 1.15)
        font.setBold(True)
        self.title.setFont(font)
        self.hint = QLabel(
            "Double click a network in the list above, type a reference, or drop weights onto the window.",
            wordWrap=True,
        )
        self.warning = QLabel(wordWrap=True)
        set_colour(self.warning, "warning")
        self.rows = {
            name: ElidedLabel()
            for name in ("Reference", "Parameters", "Input", "Mean, std", "Classes", "Origin", "Licence", "Weights")
        }
        self.copy = QToolButton(autoRaise=True, toolTip="Copy the whole hash of the weights")
        self.copy.setAccessibleName("Copy the hash of the weights")
        set_icon(self.copy, "copy")
        self.copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self._hash))
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setHorizontalSpacing(10)
        form.setVerticalSpacing(2)
        for name, label in self.rows.items():
            caption = QLabel(name)
            caption.setForegroundRole(caption.palette().ColorRole.PlaceholderText)
            if name == "Weights":
                line = QHBoxLayout()
                line.setContentsMargins(0, 0, 0, 0)
                line.addWidget(label)
                line.addWidget(self.copy)
                form.addRow(caption, line)
            else:
                form.addRow(caption, label)
        self._form = QWidget()
        self._form.setLayout(form)
        self._fields: dict[str, QLineEdit] = {}
        self._further = QFormLayout()
        self._further.setContentsMargins(0, 2, 0, 0)
        self._further.setHorizontalSpacing(10)
        self._further.setVerticalSpacing(2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.setSpacing(4)
        layout.addWidget(self.title)
        layout.addWidget(self.hint)
        layout.addWidget(self.warning)
        layout.addWidget(self._form)
        layout.addLayout(self._further)

    def _show_further(self, further: Mapping[str, tuple[str, str]]) -> None:
        """Offer a field for each thing that is read beside the image."""
        self._fields.clear()
        while self._further.rowCount():
            self._further.removeRow(0)
        for option, (value, help) in further.items():
            field = QLineEdit(value, toolTip=f"Read beside the image: {help}. Enter opens the network with it.")
            field.setAccessibleName(option.capitalize())
            field.setPlaceholderText("empty")
            field.returnPressed.connect(self._choose)
            self._fields[option] = field
            self._further.addRow(option.capitalize(), field)

    def _choose(self) -> None:
        self.chosen.emit({option: field.text() for option, field in self._fields.items()})

    def minimumSizeHint(self) -> QSize:
        """Ask for the lines that a warning takes at this width: a splitter knows no height for width and would squeeze them."""
        least = super().minimumSizeHint()
        return QSize(least.width(), max(least.height(), self.heightForWidth(self.width())))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Ask again at another width."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self.updateGeometry()

    def show_card(self, card: ModelCard | None) -> None:
        """Show a network, or what to do while there is none."""
        self._form.setVisible(card is not None)
        self.hint.setVisible(card is None)
        self.warning.setVisible(card is not None and bool(card.warnings))
        self._show_further(card.further if card is not None else {})
        if card is None:
            self.title.show_text("No network open")
            return
        self._hash = card.weight_hash
        self.title.show_text(card.name)
        self.warning.setText("\n".join(f"⚠ {warning}" for warning in card.warnings))
        height, width = card.size
        texts = {
            "Reference": card.ref,
            "Parameters": count(card.parameters),
            "Input": ", ".join(
                [
                    f"{height} × {width} px, {card.channels} channels",
                    *(f"{name} {value}" for name, value in card.held.items()),
                ]
            ),
            "Mean, std": f"{numbers(card.mean)}, {numbers(card.std)}",
            "Classes": f"{len(card.labels):,}" if card.labels else "not named",
            "Origin": card.origin or "unknown",
            "Licence": card.licence or "unknown",
            "Weights": card.weight_hash[:12],
        }
        tips = {
            "Input": "Height and width of the image the network reads, and its channels"
            + ("; what it reads besides is held at these values" if card.held else ""),
            "Mean, std": "Subtracted from and divided into each channel of an image in [0, 1]",
            "Weights": f"SHA-256 of the weights: {card.weight_hash}",
        }
        for name, text in texts.items():
            self.rows[name].show_text(text, tips.get(name, ""))


class ImageChooser(QFrame):
    """Chooses what is shown to the network."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self._session = session
        self.box = QComboBox(editable=True)
        self.box.setAccessibleName("Image set")
        self.box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.box.setToolTip(
            "Choose a set, or type a reference and press Enter:\n"
            "folder:PATH, files:PATH;PATH, torchvision:CIFAR10?root=PATH&download=true, emoji?styles=noto"
        )
        self.box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.box.setMinimumContentsLength(10)
        for title, ref in IMAGE_SETS:
            self.box.addItem(title, ref)
        self.box.activated.connect(self._choose)
        self.box.lineEdit().returnPressed.connect(self._typed)
        folder = QToolButton(toolTip="Use a folder of images (Ctrl+Shift+I), or drop it onto the window")
        folder.setAccessibleName("Open a folder of images")
        set_icon(folder, "images")
        folder.clicked.connect(self._ask_for_folder)
        self.about = ElidedLabel()
        self.licence = ElidedLabel()
        self.licence.hide()
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(QLabel("<b>Images</b>"))
        line.addWidget(self.box, 1)
        line.addWidget(folder)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.setSpacing(4)
        layout.addLayout(line)
        layout.addWidget(self.about)
        layout.addWidget(self.licence)
        session.images_changed.connect(self.show_images)
        self.show_images(session.images)

    def _choose(self, place: int) -> None:
        """Open a set, or offer its reference for the user to complete."""
        ref = self.box.itemData(place)
        gap = TO_FILL_IN.search(ref)
        if gap is None:
            self._session.open_images(ref)
            return
        self.box.setEditText(ref)
        self.box.lineEdit().setFocus()
        self.box.lineEdit().setSelection(gap.start(), len(gap[0]))
        self.about.show_text("Fill in what is in capitals, then press Enter.")

    def _typed(self) -> None:
        text = self.box.currentText().strip()
        place = self.box.findText(text, Qt.MatchFlag.MatchFixedString)
        if text and place < 0:
            self._session.open_images(text)

    def show_images(self, card: ImageSetCard | None) -> None:
        """Show which set is open, and what is known of it."""
        if card is None:
            self.box.setCurrentIndex(-1)
            self.about.show_text("None open: choose a set or drop a folder onto the window.")
            return
        place = self.box.findData(card.ref)
        self.box.setCurrentIndex(place)
        if place < 0:
            self.box.setEditText(card.ref)
        columns = ", ".join(f"{n:,} {name}" for name, n in card.columns.items() if 1 < n < card.length)
        text = f"{card.length:,} images" + (f" ({columns})" if columns else "")
        self.about.show_text(text, f"{card.ref}\n{text}\nContent: {card.content_hash[:12]}")
        self.licence.show_text(f"Licence: {card.licence or 'unknown'}", card.licence.replace("; ", "\n"))
        self.licence.show()

    def _ask_for_folder(self) -> None:
        ask_for_folder(self, "Open a folder of images", lambda path: self._session.open_images(f"folder:{path}"))


def count(number: int) -> str:
    """Write a large number: ``4.65 million (4,652,008)``."""
    for size, word in ((10**9, "billion"), (10**6, "million")):
        if number >= size:
            return f"{number / size:.3g} {word} ({number:,})"
    return f"{number:,}"


def numbers(values: Sequence[float]) -> str:
    """Write a value per channel, once when all are equal: ``0.5`` or ``0.485 0.456 0.406``."""
    return f"{values[0]:.3g}" if len(set(values)) == 1 else " ".join(f"{value:.3g}" for value in values)
