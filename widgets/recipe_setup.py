"""What is trained and how: a recipe, its parameters as a form, the images, the device and the precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QSignalBlocker, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from widgets.elided_combo_box import ElidedComboBox
from widgets.elided_label import ElidedLabel
from widgets.file_dialogs import ask_for_folder
from widgets.form import Form, Preload
from widgets.session import Session
from widgets.theme import set_icon

if TYPE_CHECKING:
    from workbench.jobs.job import JobEvent
    from workbench.jobs.requests import ImageSetCard
    from workbench.jobs.training_requests import RecipeCard

FIRST = "resnet"
"""Recipe that is offered first."""
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = {
    "auto": "auto: the faster one on this machine",
    "bf16": "bf16: matrix products in bfloat16",
    "fp32": "fp32: everything in single precision",
}


class RecipeSetup(QWidget):
    """The recipes there are, and all that is chosen of one; `form` is None until they are known."""

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._recipes: dict[str, RecipeCard] = {}
        self._wanted = FIRST  # recipe to choose once they are known
        self.form: Form | None = None

        self.recipe = ElidedComboBox(12, self)
        self.recipe.setAccessibleName("Recipe")
        self.recipe.setToolTip("What is trained, and how")
        self.recipe.currentIndexChanged.connect(self._show_recipe)
        self.about = ElidedLabel("Listing the recipes…")
        self._place = QWidget()  # of the form
        QVBoxLayout(self._place).setContentsMargins(0, 0, 0, 0)
        self.use_images = QToolButton(text="Use the open images", toolTip="Train on the image set that is open")
        self.use_images.clicked.connect(self._use_open_images)
        self.use_images.setSizePolicy(self.recipe.sizePolicy())
        self.folder_of_images = QToolButton(toolTip="Train on a folder of images; its sub-folders are the classes")
        self.folder_of_images.setAccessibleName("Train on a folder of images")
        set_icon(self.folder_of_images, "images")
        self.folder_of_images.clicked.connect(
            lambda: ask_for_folder(self, "Train on a folder of images", self._use_folder_of_images)
        )
        self.device = QComboBox()
        self.device.setAccessibleName("Device")
        self.device.setToolTip("Where it is computed; auto: the fastest there is")
        self.device.addItems(DEVICES)
        self.precision = QComboBox()
        self.precision.setAccessibleName("Precision")
        self.precision.setToolTip("\n".join(PRECISIONS.values()))
        self.precision.addItems(list(PRECISIONS))

        choice = QHBoxLayout()
        choice.addWidget(QLabel("<b>Recipe</b>"))
        choice.addWidget(self.recipe, 1)
        images = QHBoxLayout()
        images.addWidget(self.use_images, 1)
        images.addWidget(self.folder_of_images)
        how = QHBoxLayout()
        for text, box in (("Device", self.device), ("Precision", self.precision)):
            how.addWidget(QLabel(text))
            how.addWidget(box, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(choice)
        column.addWidget(self.about)
        column.addWidget(self._place, 1)
        column.addLayout(images)
        column.addLayout(how)
        self.setFocusProxy(self.recipe)

        session.images_changed.connect(self._show_images)
        self._show_images(session.images)
        self._preload = Preload(self)
        self._preload.ready.connect(self._fill_recipes)

    # What is chosen

    @property
    def name(self) -> str | None:
        """Name of the recipe, once they are known."""
        return self.recipe.currentData()

    @property
    def wrong(self) -> str | None:
        """What of the form cannot be trained with, and why; None when nothing is."""
        return next((f"{name}: {text}" for name, text in self.form.errors.items()), None) if self.form is not None else None

    def where(self) -> dict[str, Any]:
        """Return device and precision as `Train` takes them."""
        return {"device": self.device.currentText(), "precision": self.precision.currentText()}

    def show_complaint(self, error: str) -> None:
        """Show at its field what a training said of a parameter."""
        if self.form is not None:
            self.form.show_complaint(error)

    def save_state(self) -> dict[str, Any]:
        """Remember recipe, device and precision."""
        return {"recipe": self.name or self._wanted, **self.where()}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Choose them again."""
        self._wanted = str(state.get("recipe", FIRST))
        if self.form is not None:
            self.recipe.setCurrentIndex(max(0, self.recipe.findData(self._wanted)))
        self.device.setCurrentText(str(state.get("device", DEVICES[0])))
        self.precision.setCurrentText(str(state.get("precision", next(iter(PRECISIONS)))))

    # Recipes

    def list_recipes(self) -> None:
        """Ask which recipes there are; it takes torch, so it is asked after all that does not."""
        from workbench.jobs.training_requests import DescribeRecipes

        self._session.relay.submit(DescribeRecipes(), self._on_recipes)

    def _on_recipes(self, event: JobEvent) -> None:
        if event.state == "failed":
            self.about.show_text(f"The recipes could not be listed: {event.error}")
        elif event.state == "done":
            self._recipes = {card.name: card for card in event.result}
            self._preload.start()

    def _fill_recipes(self) -> None:
        with QSignalBlocker(self.recipe):
            for card in self._recipes.values():
                self.recipe.addItem(f"{card.name} – {card.title}", card.name)
            self.recipe.setCurrentIndex(max(0, self.recipe.findData(self._wanted)))
        self._show_recipe()

    def _show_recipe(self) -> None:
        if self.form is not None:
            self._place.layout().removeWidget(self.form)
            self.form.deleteLater()
        card = self._recipes[self.recipe.currentData()]
        about = " ".join(card.help.partition("\n\n")[0].split())
        self.about.show_text(about, card.help)
        self.form = Form(card.schema)
        self.form.changed.connect(self.changed)
        self._place.layout().addWidget(self.form)
        self.form.reach_after(self.about)
        self._show_images(self._session.images)
        self.changed.emit()

    # Images

    def _show_images(self, card: ImageSetCard | None) -> None:
        takes = self.form is not None and "images" in self.form.fields
        self.use_images.setEnabled(takes and card is not None)
        self.folder_of_images.setEnabled(takes)
        self.use_images.setToolTip(
            "This recipe has images of its own"
            if self.form is not None and not takes
            else f"Train on {card.name}"
            if card is not None
            else "No images are open; choose a set in the panel Model"
        )

    def _use_open_images(self) -> None:
        card = self._session.images
        if self.form is not None and card is not None:
            self.form.set_value("images", card.ref)
            classes = [name for name, values in card.columns.items() if 1 < values < card.length]
            named = "column" in self.form.fields  # an autoencoder of activations asks for no classes
            if named and classes and (self.form.errors or self.form.values()["column"] not in classes):
                self.form.set_value("column", classes[0])

    def _use_folder_of_images(self, path: str) -> None:
        if self.form is not None:
            self.form.set_value("images", f"folder:{path}")
            if "column" in self.form.fields:
                self.form.set_value("column", "label")
