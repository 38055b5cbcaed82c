"""What is patched, between which images, and what is read: the fields above the results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QStringListModel, Qt
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QCompleter,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QStackedWidget,
    QWidget,
)

from widgets.choice_box import choice_box
from widgets.elided_combo_box import ElidedComboBox
from widgets.elided_label import ElidedLabel
from widgets.line_of import line_of
from widgets.patching.layer_choice import LayerChoice, sensible_layers
from workbench.image_region import is_region
from workbench.jobs.direction_requests import ListDirections
from workbench.owner import listed_of

if TYPE_CHECKING:
    from widgets.session import Session
    from workbench.jobs.job import JobEvent
    from workbench.models.layer import Layer

SOURCES = {"set": "images of the set", "drawn": "the drawn pair"}
CORRUPTIONS = {
    "swap": "another image",
    "patch swap": "patch of another",
    "blur": "blurred",
    "occlusion": "partly covered",
    "hue": "other hues",
}
PARTS = {
    "branch": ("branches", "What a concatenation is put together from"),
    "unit": ("channels", "Each unit, at all positions"),
    "cell": ("positions", "Each place in the image, or token, in all units"),
    "head": ("heads", "Each attention head"),
    "layer": ("layers", "Each layer as a whole"),
    "region": ("a region", "All that lies inside a box on the image, and all that lies outside"),
    "family": ("families", "The investigation's families of units, each as one"),
    "direction": ("directions", "Directions of a set, or latents of a sparse autoencoder"),
}
METRICS = {
    "logit difference": ("logit difference", "Logit of one class minus that of another"),
    "logit": ("logit", "Logit of one class"),
    "loss": ("loss", "Cross-entropy of one class, over all pairs"),
    "unit": ("a unit", "Largest activation of a unit"),
    "similarity": ("similarity to a text", "Cosine with a text, of a network that reads texts"),
}
CHOICES = ("source", "corruption", "part", "metric", "put")
"""Fields that are kept from one session to the next, beside the numbers."""
PUTS = {
    "resample": ("other image", "Noise puts what the corrupt run computed"),
    "mean": ("mean", "Noise puts the mean over the clean images"),
    "zero": ("zero", "Noise puts 0"),
}


class PatchingSettings(QWidget):
    """Three pairs of label and field in a line; what does not matter for a choice is not there. The panel lays out `twin`."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._session = session
        sources, corruptions = ({key: (text, "") for key, text in named.items()} for named in (SOURCES, CORRUPTIONS))
        self.source = choice_box(ElidedComboBox(8, self), sources, "Between which images is patched")
        self.corruption = choice_box(ElidedComboBox(8, self), corruptions, "What makes the corrupt image")
        self.pairs = QSpinBox(self, minimum=8, maximum=100_000, value=32)
        self.pairs.setAccessibleName("Pairs")
        self.pairs.setToolTip("Pairs of images: more make narrower intervals, and take longer")
        self.drawn = QLabel(self)
        self.drawn.setToolTip("Draw or change a pair in the panel Canvas")
        self.part = choice_box(ElidedComboBox(8, self), PARTS, "What is patched")
        self.layers = LayerChoice(self)
        self.families = ElidedLabel(parent=self)
        self.directions = QComboBox(self, editable=True)
        self.directions.setAccessibleName("Set of directions")
        self.directions.setToolTip("Name of a set of directions or of a sparse autoencoder; the panel Mixtures makes them")
        self.which = QStackedWidget(self)
        for widget in (self.layers, self.families, self.directions):
            self.which.addWidget(widget)
        tip = "Patch only inside: top, left, bottom, right in fractions of the image, or drag a box on the clean image"
        self.region = self._line("Region", "everywhere", tip)
        self.metric = choice_box(ElidedComboBox(8, self), METRICS, "What is read")
        self.of_class = self._classes("clean's class", "The class that is read; empty for that of the clean image")
        self.against = self._classes("corrupt's class", "The class whose logit is subtracted; empty for that of the corrupt image")
        self.unit = self._line("Unit", "layer:number", "The unit that is read, such as mixed4c:447")
        self.text = self._line("Text", "a text", "The text that the image is compared with; empty for that of the network")
        self.against_text = self._line("Other text", "no other text", "A text whose cosine is subtracted")
        self.read = QWidget(self)
        fields = QHBoxLayout(self.read)
        fields.setContentsMargins(0, 0, 0, 0)
        for field in (self.of_class, self.against, self.unit, self.text, self.against_text):
            fields.addWidget(field, 1)
        self.put = choice_box(ElidedComboBox(8, self), PUTS, "What is put in place when noising")
        self.through = self._line("Through", "all paths", "Path patching: a later layer, or units of one, that alone hear what is patched")
        tip = "Layers on the way to it that stay as they are, separated by commas: only paths past them count"
        self.hold = self._line("Past", "nothing held", tip)
        self.top = QSpinBox(self, minimum=1, maximum=1000, value=3)
        self.top.setAccessibleName("Best together")
        self.top.setToolTip("So many of the best parts of a layer are patched together, on pairs they were not chosen on")
        self.most = QSpinBox(self, minimum=0, maximum=100_000, value=0, singleStep=16, specialValueText="all")
        self.most.setAccessibleName("Patched of a layer")
        self.most.setToolTip(
            "So many parts of a layer are patched: half of them the best by attribution on other pairs, the others drawn from the rest, "
            "each of which stands for several; all: every one"
        )
        self.of_all = QLabel("of", self)
        self.best = QWidget(self)
        self.best.setLayout(line_of(self.top, self.of_all, self.most, spacing=4, around=(0, 0)))
        self.twin = QCheckBox("random network", self)
        self.twin.setToolTip("Patch one network of random weights as well, to compare; takes half as long again")
        self.labels: dict[str, QLabel] = {}
        grid = QGridLayout(self)
        grid.setContentsMargins(6, 4, 6, 2)
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(3)
        lines: tuple[tuple[tuple[str, QWidget], ...], ...] = (
            (("Between", self.source), ("corrupt", self.corruption), ("pairs", self.pairs)),
            (("Patch", self.part), ("of", self.which), ("inside", self.region)),
            (("Read", self.metric), ("of", self.read), ("noise puts", self.put)),
            (("Through", self.through), ("past", self.hold), ("best", self.best)),
        )
        for row, line in enumerate(lines):
            for column, (name, field) in enumerate(line):
                self._put(grid, row, column, name, field)
        grid.addWidget(self.drawn, 0, 3, 1, 3)
        for column, stretch in ((1, 4), (3, 4), (5, 2)):
            grid.setColumnStretch(column, stretch)
        self.source.currentIndexChanged.connect(self._arrange)
        self.part.currentIndexChanged.connect(self._on_part)
        self.metric.currentIndexChanged.connect(self._arrange)
        session.model_changed.connect(lambda _card: self._on_model())
        session.pair_changed.connect(self._on_pair)
        session.project_changed.connect(self._arrange)
        session.touched.connect(self._arrange)
        self._on_model()

    def _put(self, grid: QGridLayout, row: int, column: int, name: str, field: QWidget) -> None:
        label = QLabel(name, self)
        label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        label.setBuddy(field)
        grid.addWidget(label, row, 2 * column)
        grid.addWidget(field, row, 2 * column + 1)
        self.labels[f"{row}{column}"] = label

    def _line(self, name: str, empty: str, tip: str) -> QLineEdit:
        line = QLineEdit(self, placeholderText=empty, clearButtonEnabled=True)
        line.setAccessibleName(name)
        line.setToolTip(tip)
        line.setMinimumWidth(60)
        return line

    def _classes(self, empty: str, tip: str) -> QLineEdit:
        line = self._line(tip.partition(";")[0], empty, tip)
        line.setCompleter(QCompleter(line))
        return line

    # ------------------------------------------------------------------------------------------------ what is there

    @property
    def is_drawn(self) -> bool:
        """Whether the drawn pair is patched."""
        return bool(self.source.currentData() == "drawn")

    @property
    def kind(self) -> str:
        """What is patched."""
        return str(self.part.currentData())

    def _on_model(self) -> None:
        session = self._session
        layers = list(session.layers.values())
        if layers and self.kind in ("branch", "head") and not sensible_layers(layers, self.kind):
            self.part.setCurrentIndex(self.part.findData("cell"))  # every network has positions
        self.layers.offer([layer.name for layer in layers if layer.units > 1], sensible_layers(layers, self.kind))
        for line in (self.of_class, self.against):
            line.completer().setModel(QStringListModel(list(session.model.labels) if session.model is not None else [], line))
            line.completer().setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
            line.completer().setFilterMode(Qt.MatchFlag.MatchContains)
        if session.model is not None and not session.model.labels:
            self.metric.setCurrentIndex(self.metric.findData("similarity" if "text" in session.model.further else "unit"))
        elif session.model is not None and self.metric.currentData() == "similarity":
            self.metric.setCurrentIndex(0)
        self._offer_parts(layers)
        self._ask_directions()
        self._arrange()

    def _offer_parts(self, layers: list[Layer]) -> None:
        """Offer what the network has: branches need concatenations, heads attention."""
        for kind in ("branch", "head"):
            place = self.part.findData(kind)
            there = not layers or bool(sensible_layers(layers, kind))
            item = self.part.model().item(place)
            item.setEnabled(there)
            item.setToolTip(PARTS[kind][1] if there else f"This network has no {PARTS[kind][0]}")

    def _ask_directions(self) -> None:
        if self.kind == "direction":
            self._session.relay.submit(ListDirections(), self._take_directions)

    def _on_pair(self, pair: object) -> None:
        if pair is not None:
            self.source.setCurrentIndex(self.source.findData("drawn"))
        self._arrange()

    def _on_part(self, _index: int) -> None:
        self.layers.suggest(sensible_layers(list(self._session.layers.values()), self.kind))
        self._ask_directions()
        self._arrange()

    def _take_directions(self, event: JobEvent) -> None:
        """Offer the sets that fit the network that is open now; what was chosen stays if it is among them."""
        if event.state == "failed":
            self._session.report(event.error)
        if event.state == "done":
            names = [card.name for card in event.result if card.layer in self._session.layers]
            before = self.directions.currentText()
            self.directions.clear()
            self.directions.addItems(names)
            if before in names:
                self.directions.setCurrentText(before)

    def families_given(self) -> dict[str, str]:
        """Return the investigation's families of the open network, with the address of their units."""
        model = self._session.model
        if model is None:
            return {}
        known = listed_of(self._session.project.families, model.ref)
        return {f"{one.name} ({one.layer})": f"{one.layer}:{','.join(map(str, one.units))}" for one in known}

    def _arrange(self) -> None:
        """Show the fields that matter for what is chosen."""
        drawn, part, metric = self.is_drawn, self.kind, str(self.metric.currentData())
        pair = self._session.pair
        for key in ("01", "02"):
            self.labels[key].setVisible(not drawn)
        self.corruption.setVisible(not drawn)
        self.pairs.setVisible(not drawn)
        self.of_all.setVisible(not drawn)
        self.most.setVisible(not drawn)
        self.drawn.setVisible(drawn)
        self.drawn.setText(pair.name if pair is not None else "none yet: draw one in the panel Canvas")
        page: QWidget = {"family": self.families, "direction": self.directions}.get(part, self.layers)
        self.which.setCurrentWidget(page)
        names = list(self.families_given())
        said = ", ".join(names) or "none yet: select units and make a family"
        self.families.show_text(said, tip="\n".join(names))
        shown: dict[str, tuple[QWidget, ...]] = {
            "logit difference": (self.of_class, self.against),
            "logit": (self.of_class,),
            "loss": (self.of_class,),
            "unit": (self.unit,),
            "similarity": (self.text, self.against_text),
        }
        for field in (self.of_class, self.against, self.unit, self.text, self.against_text):
            field.setVisible(field in shown[metric])
        if metric == "unit" and not self.unit.text() and self._session.unit is not None:
            self.unit.setText(str(self._session.unit))

    # ------------------------------------------------------------------------------------------------ what is asked

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of `ActivationPatching`.

        Raises
        ------
        ValueError
            When something is missing; the message says what to do.
        """
        part, metric = self.kind, str(self.metric.currentData())
        asked: dict[str, Any] = {"part": part, "metric": metric, "put": self.put.currentData(), "top": self.top.value()}
        if self.is_drawn:
            pair = self._session.pair
            if pair is None:
                raise ValueError("There is no drawn pair yet: draw one in the panel Canvas, or take images of the set.")
            asked |= {"clean_file": str(pair.clean.path), "corrupt_file": str(pair.corrupt.path)}
        else:
            asked |= {"corruption": self.corruption.currentData(), "pairs": self.pairs.value()}
            asked |= {"most": self.most.value()} if self.most.value() else {}
        if part == "family":
            asked["families"] = self.families_given()
            if not asked["families"]:
                raise ValueError("This investigation has no family of the open network: select units in the panel Neurons and make one.")
        elif part == "direction":
            asked["directions"] = self.directions.currentText().strip()
            if not asked["directions"]:
                raise ValueError("There are no directions of the open network yet: make some in the panel Mixtures, or name a set.")
        else:
            asked["layers"] = self.layers.chosen
            if not asked["layers"]:
                raise ValueError("Choose at least one layer.")
        if self.region.text().strip():
            asked["region"] = read_region(self.region.text())
        elif part == "region":
            raise ValueError("Drag a box on the clean image, or write a region such as 0.2, 0.2, 0.6, 0.6.")
        given: dict[str, QLineEdit] = {"of_class": self.of_class, "unit": self.unit, "text": self.text, "against_text": self.against_text}
        if metric == "logit difference":
            given["against"] = self.against
        given["through"] = self.through
        asked |= {name: line.text().strip() for name, line in given.items() if not line.isHidden() and line.text().strip()}
        if self.hold.text().strip():
            if not self.through.text().strip():
                raise ValueError("Layers are held on the way to a receiver: write it into Through, or empty Past.")
            asked["hold"] = [name.strip() for name in self.hold.text().split(",") if name.strip()]
        return asked | ({"twin": True} if self.twin.isChecked() else {})

    def take_region(self, region: tuple[float, float, float, float] | None) -> None:
        """Write a box that was drawn into its field; None empties it."""
        self.region.setText("" if region is None else ", ".join(f"{end:.3f}" for end in region))

    def save_state(self) -> dict[str, Any]:
        """Keep the choices that hold for any network."""
        kept: dict[str, Callable[[], Any]] = {name: getattr(self, name).currentData for name in CHOICES}
        numbers = {"pairs": self.pairs.value(), "top": self.top.value(), "most": self.most.value(), "twin": self.twin.isChecked()}
        return {name: read() for name, read in kept.items()} | numbers

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """Take them back."""
        for name in CHOICES:
            box: QComboBox = getattr(self, name)
            box.setCurrentIndex(max(0, box.findData(state.get(name))))
        for name in ("pairs", "top", "most"):
            if isinstance(state.get(name), int):
                getattr(self, name).setValue(state[name])
        self.twin.setChecked(state.get("twin") is True)


def read_region(text: str) -> list[float]:
    """Read four fractions.

    Raises
    ------
    ValueError
        When they are no box inside the image.
    """
    try:
        top, left, bottom, right = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{text!r} is no region: write top, left, bottom, right such as 0.2, 0.2, 0.6, 0.6.") from None
    if not is_region((top, left, bottom, right)):
        raise ValueError(f"{text!r} is no region: 0 ≤ top < bottom ≤ 1 and 0 ≤ left < right ≤ 1.")
    return [top, left, bottom, right]
