"""What is open and selected. Panels meet here and nowhere else: they read it, change it, and listen to its signals.

The session knows models and image sets by the plain cards that the worker sends back; networks and arrays of theirs stay in the
worker. It also holds the project (what is saved), the undo stack of edits to it, and the relay to the worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QUndoStack

from widgets.addresses import Addresses
from widgets.job_log import JobLog
from widgets.relay import Relay
from workbench.kept_image import KeptImage
from workbench.models.layer import Layer, Unit
from workbench.owner import owner_of
from workbench.unit_families import find_family

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

    from workbench.circuit import Circuit
    from workbench.image_pair import ImagePair
    from workbench.jobs.job import JobEvent
    from workbench.jobs.requests import ImageSetCard, ModelCard, ReadImage
    from workbench.project import Project


@dataclass(frozen=True)
class Message:
    """Something the user should know, for the message bar: one line, and details that can be copied."""

    text: str
    details: str = ""
    level: Literal["error", "info"] = "error"


class Session(QObject):
    """What one window works on.

    Attributes
    ----------
    relay
        The way to the worker.
    jobs
        What became of every job.
    addresses
        Addresses of what is selected, and the way to one.
    undo_stack
        Edits of the project (notes, labels, weights); push `QUndoCommand` objects whose `redo` and `undo` change
        `project` and call `touch`.
    model, images
        Cards of what is open, or None.
    layer
        Name of the selected layer, empty for none.
    unit
        The selected unit, or None.
    selection
        Numbers of the units of `layer` that are selected together; the unit alone where nothing else is.
    family
        Name of the family that the selection is, empty for none.
    image, image_name
        The image dropped onto the window: uint8 ``[y, x, 3]``, read-only, or None; and what it is called, empty when it has no name.
    kept_image
        The same, as what is copied names it.
    pair
        The `ImagePair` on the canvas, or None.
    region
        Part of the image that is looked at: top, left, bottom, right in fractions of what the network is shown of it; None for all.
    reading
        Name of the image that is being read, empty for none.
    opening_model
        Whether a network was asked for and is not there yet.
    circuit
        The circuit that is open, or None.
    pinned
        Units that stand side by side in the panel Compare, each with the reference of its network.
    blind
        Whether pictures of the unit are being labelled by somebody who should not see what it responds to: the Inspector hides it.
    device, arithmetic
        Where networks are computed and with what numbers, as of `workbench.jobs.machine.ComputeOn`.
    """

    twin_changed = Signal(bool)
    """Whether the random-weight twin's figures are shown beside those of the open network."""
    blind_changed = Signal(bool)
    """Pictures of the selected unit are labelled blind, or no longer."""
    computing_changed = Signal()
    """Another device or other numbers were chosen."""
    model_changed = Signal(object)
    """A `ModelCard`, or None. `layer_changed` and `unit_changed` follow."""
    layer_changed = Signal(str)
    unit_changed = Signal(object)
    """A `Unit`, or None."""
    selection_changed = Signal(object)
    """Numbers of the units that are selected together (tuple), or another family is."""
    images_changed = Signal(object)
    """An `ImageSetCard`, or None."""
    image_changed = Signal(object)
    """A uint8 array ``[y, x, 3]``, or None."""
    pair_changed = Signal(object)
    """An `ImagePair`, once a stroke is finished, or None."""
    region_changed = Signal(object)
    """Another part of the image is looked at, or all of it again (None)."""
    ranking_wanted = Signal()
    """Order the units of the layer by what they do on the image."""
    reading_changed = Signal(str)
    """Name of the image that is being read; empty when there is none any more."""
    circuit_changed = Signal(object)
    """The `Circuit` that is open is another one, or was edited; None for none."""
    project_changed = Signal()
    """Another project is open: read everything from `project` again."""
    modified_changed = Signal(bool)
    """Whether the project has changes since it was last saved to its file."""
    touched = Signal()
    """The content of the project was changed just now."""
    loading = Signal(object)
    """A `JobEvent` of the model or image set that is being opened."""
    message = Signal(object)
    """A `Message` for the message bar."""
    panels_wanted = Signal(object)
    """Ids of panels that a panel asks to open, as a tuple; the first is to get the keyboard."""
    family_wanted = Signal(object)
    """A `Family` of the open network to be added to the circuit as one node, once the circuit's panel is open."""
    consent_needed = Signal(str, str, object)
    """A ``python:`` reference, and the layer and unit to select: ask the user, then call `open_model` with `allow_code` and these."""

    def __init__(self, relay: Relay, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.relay = relay
        self.jobs = JobLog(relay, self)
        self.addresses = Addresses(self)
        self.undo_stack = QUndoStack(self)
        self.model: ModelCard | None = None
        self.images: ImageSetCard | None = None
        self.layer = ""
        self.unit: Unit | None = None
        self.selection: tuple[int, ...] = ()
        self.family = ""
        self.image: np.ndarray | None = None
        self.kept_image: KeptImage | None = None
        self.pair: ImagePair | None = None
        self.region: tuple[float, float, float, float] | None = None
        self.image_name = self.reading = ""
        self.layers: dict[str, Layer] = {}
        self.circuit: Circuit | None = None
        self.pinned: tuple[tuple[str, Unit], ...] = ()
        self.device, self.arithmetic = "auto", "fp32"
        self.twin = self.blind = False
        self.modified = self.opening_model = False
        self._project: Project | None = None
        self._wanted: tuple[str, Unit | None] = ("", None)  # to be selected once the model is there
        self._model_job = self._images_job = 0
        self._read: ReadImage | None = None  # the newest that was asked for

    # What is open

    def open_model(self, ref: str, allow_code: bool = False, *, layer: str = "", unit: Unit | None = None) -> None:
        """Load a network in the background; `model_changed` follows, or a message when it cannot be opened.

        What is open stays until the new one is there. A ``python:`` reference runs the user's code, so it is asked for first.

        Parameters
        ----------
        ref
            Such as ``bundled:efficientnet-lite0`` or ``timm:resnet18``.
        allow_code
            The user agreed that the code behind this reference is run.
        layer, unit
            What to select when it is there; a sensible layer otherwise.
        """
        if ref.startswith("python:") and not allow_code:
            self.consent_needed.emit(ref, layer, unit)
            return
        self._wanted = (layer, unit)
        from workbench.jobs.requests import LoadModel

        self.relay.cancel(self._model_job)
        self.opening_model = True
        self._model_job = self.relay.submit(LoadModel(ref, allow_code), self._on_model)

    def open_images(self, ref: str) -> None:
        """Open an image set in the background; `images_changed` follows, or a message when it cannot be opened."""
        from workbench.jobs.requests import OpenImages

        self.relay.cancel(self._images_job)
        self._images_job = self.relay.submit(OpenImages(ref), self._on_images)

    @property
    def is_opening(self) -> bool:
        """Whether a model or an image set is being opened."""
        unfinished = {record.event.job for record in (*self.jobs.running(), *self.jobs.waiting())}
        return bool(unfinished & {self._model_job, self._images_job})

    def is_newest(self, event: JobEvent) -> bool:
        """Whether no other network, or no other image set, was asked for since that of an event of `loading`."""
        from workbench.jobs.requests import OpenImages

        return event.job >= (self._images_job if isinstance(event.request, OpenImages) else self._model_job)

    def cancel_loading(self) -> None:
        """Stop opening the model and the image set; what was open before stays."""
        self.relay.cancel(self._model_job)
        self.relay.cancel(self._images_job)

    def _on_model(self, event: JobEvent) -> None:
        self.loading.emit(event)
        if event.job < self._model_job:  # another was asked for meanwhile
            return
        self._model_job = event.job  # a job that is retried has a new number
        self.opening_model = not event.ended
        if event.state == "failed":
            self.report(event.error, event.details)
        elif event.state == "done":
            self.set_model(event.result)

    def set_model(self, card: ModelCard | None) -> None:
        """Make a loaded model the open one and select a layer of it."""
        self.model = card
        self.layers = {layer.name: layer for layer in card.layers} if card is not None else {}
        layer, unit = self._wanted
        self._wanted = ("", None)
        self.layer = layer if layer in self.layers else self.sensible_layer()
        self.unit = unit if unit is not None and unit.layer == self.layer and self._exists(unit) else None
        if card is not None:
            self._record(model=card.ref)
        self.model_changed.emit(card)
        self._announce_selection()

    def _on_images(self, event: JobEvent) -> None:
        self.loading.emit(event)
        if event.job < self._images_job:
            return
        self._images_job = event.job
        if event.state == "failed":
            self.report(event.error, event.details)
        elif event.state == "done":
            self.images = event.result
            self._record(images=event.result.ref)
            self.images_changed.emit(self.images)

    def open_image(self, source: Path | bytes | np.ndarray, name: str) -> None:
        """Read an image in the background; `image_changed` follows, or a message when it cannot be read.

        What is shown stays until then. `source` is a file, the content of one, or pixels, as of `ReadImage`.
        """
        from workbench.jobs.requests import ReadImage

        self._read = ReadImage(name, source)
        self._set_reading(name)
        self.relay.submit(self._read, self._on_image)

    def _on_image(self, event: JobEvent) -> None:
        if event.request is not self._read:  # another was asked for meanwhile, or the image was put away
            return
        if event.state == "failed":
            self.report(event.error, event.details)
        elif event.state == "done":
            self.drop_image(event.result, self._read.name)
        if event.ended:
            self._set_reading("")

    def _set_reading(self, name: str) -> None:
        if name != self.reading:
            self.reading = name
            self.reading_changed.emit(name)

    def drop_image(self, image: np.ndarray | None, name: str = "") -> None:
        """Show an image to the network; None takes it away. One that is still being read is not wanted any more.

        Raises
        ------
        ValueError
            When it is not uint8 ``[y, x, 3]``.
        """
        if image is not None:
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != "uint8":
                raise ValueError(f"an image is uint8 [y, x, 3], got {image.dtype} {list(image.shape)}")
            image.setflags(write=False)
        self._read = None
        self.kept_image = KeptImage(image) if image is not None else None
        self.image, self.image_name = image, name if image is not None else ""
        self.region = None
        self.image_changed.emit(image)
        self._set_reading("")

    def set_pair(self, pair: ImagePair | None) -> None:
        """Take two images as what is patched between; None for none."""
        self.pair = pair
        self.pair_changed.emit(pair)

    def look_at_region(self, region: tuple[float, float, float, float] | None) -> None:
        """Look at a part of the image: top, left, bottom, right in fractions of it; None for all of it."""
        if region != self.region:
            self.region = region
            self.region_changed.emit(region)

    def set_computing(self, device: str, arithmetic: str) -> None:
        """Take note of where networks are computed from now on."""
        self.device, self.arithmetic = device, arithmetic
        self.computing_changed.emit()

    def show_twin(self, on: bool) -> None:
        """Put the figures of the random-weight twin beside those of the open network, or take them away."""
        if on != self.twin:
            self.twin = on
            self.twin_changed.emit(on)

    def keep_blind(self, on: bool) -> None:
        """Say whether pictures of the unit are being labelled blind."""
        if on != self.blind:
            self.blind = on
            self.blind_changed.emit(on)

    @property
    def project_ref(self) -> str:
        """Reference that the investigation keeps things of the open network under: without directions; empty for none."""
        return owner_of(self.model.ref) if self.model is not None else ""

    def owner(self, layer: str) -> str:
        """Return the reference that what is known of a layer's units is kept under (see `workbench.owner`); empty while nothing is open."""
        return owner_of(self.model.ref, layer) if self.model is not None else ""

    def is_open(self, ref: str) -> bool:
        """Whether what is kept under a reference is of the open network."""
        return self.model is not None and ref in (self.model.ref, self.project_ref)

    @property
    def twin_ref(self) -> str:
        """Reference of the open network's random-weight twin; empty while none is shown, and for a network that is one itself."""
        if self.model is None or not self.twin:
            return ""
        from workbench.models.loading import network_of_twin, twin_of

        return "" if network_of_twin(self.model.ref) is not None else twin_of(self.model.ref, 0)

    @property
    def badge(self) -> str:
        """Say that the open images are unlike what the open network was trained on; empty when they are not, or nobody knows."""
        if self.model is None or self.images is None:
            return ""
        from workbench.training_data import mismatch

        return mismatch(self.model, self.images) or ""

    # What is selected

    def select_layer(self, name: str) -> None:
        """Select a layer of the open model; the unit is deselected when it belongs to another.

        Raises
        ------
        ValueError
            When the model has no such layer; the nearest name is suggested.
        """
        name = self.known_name(name)
        if name == self.layer:
            return
        if name not in self.layers:
            from difflib import get_close_matches

            near = get_close_matches(name, self.layers, n=1)
            raise ValueError(f"no layer {name!r} in this model" + (f"; did you mean {near[0]}?" if near else ""))
        self.layer = name
        self.unit = None
        self._announce_selection()

    def select_unit(self, unit: Unit | None) -> None:
        """Select a unit, and with it its layer; None deselects.

        Raises
        ------
        ValueError
            When the model has no such unit.
        """
        if unit is not None:
            unit = Unit(self.known_name(unit.layer), unit.index)
        if unit == self.unit:
            self.select_together((unit.index,) if unit is not None else ())
            return
        if unit is not None:
            if unit.layer != self.layer:
                self.select_layer(unit.layer)
            self.check_unit(unit)
        self.unit = unit
        self._record(unit=str(unit) if unit is not None else "")
        self.unit_changed.emit(unit)
        self.select_together((unit.index,) if unit is not None else ())

    def select_together(self, units: Sequence[int], family: str = "") -> None:
        """Select several units of the layer; the unit that is looked at stays.

        Parameters
        ----------
        units
            Their numbers, in order.
        family
            Name of the family that they are.
        """
        if (tuple(units), family) != (self.selection, self.family):
            self.selection, self.family = tuple(units), family
            self.selection_changed.emit(self.selection)

    def look_at(self, index: int) -> None:
        """Look at another of the units that are selected together; they stay selected.

        Raises
        ------
        ValueError
            When it is none of them.
        """
        if index not in self.selection:
            raise ValueError(f"{Unit(self.layer, index)} is not among the selected units")
        unit = Unit(self.layer, index)
        if unit != self.unit:
            self.unit = unit
            self._record(unit=str(unit))
            self.unit_changed.emit(unit)

    def select_family(self, layer: str, name: str) -> None:
        """Select the units of a family, and look at its first.

        Raises
        ------
        ValueError
            When the investigation has no such family of the open model, or the model not all of its units.
        """
        layer = self.known_name(layer)
        family = find_family(self.project.families, self.model.ref if self.model is not None else "", layer, name)
        if family is None:
            raise ValueError(f"no family {name!r} in {layer} in this investigation")
        for unit in family.units:
            self.check_unit(Unit(layer, unit))
        self.select_unit(Unit(layer, family.units[0]))
        self.select_together(family.units, family.name)

    def select(self, layer: str, unit: Unit | None) -> None:
        """Select a layer and a unit of it where the open model has them; what it has not stays unselected."""
        if layer in self.layers:
            self.select_layer(layer)
        if unit is None or self._exists(unit):
            self.select_unit(unit)

    def sensible_layer(self) -> str:
        """Name the layer to begin with: one with places, two fifths into the network, of a CLIP into the tower that sees.

        It is what a block of branches gives where the network has several such blocks, else what stands behind a non-linearity.
        """
        known = list(self.layers.values())
        seeing = [layer for layer in known if layer.name.partition(".")[0] == "visual"] or known
        candidates = [layer for layer in seeing if layer.units > 3] or seeing
        spread = [layer for layer in candidates if layer.positions and layer.rows == 1] or candidates
        blocks = [layer for layer in spread if layer.kind == "cat" and ":" not in layer.name]
        maps = [layer for layer in spread if layer.is_map] or spread
        candidates = blocks if len(blocks) > 2 else [layer for layer in spread if layer.role == "post"] or maps
        return candidates[len(candidates) * 2 // 5].name if candidates else ""

    def known_name(self, layer: str) -> str:
        """Return the name the open model shows a layer by, for any of its names; what it does not know comes back as it is."""
        if layer in self.layers:
            return layer
        return next((known.name for known in self.layers.values() if layer in known.aliases), layer)

    def _exists(self, unit: Unit) -> bool:
        return unit.layer in self.layers and 0 <= unit.index < self.layers[unit.layer].units

    def check_unit(self, unit: Unit) -> None:
        """Raise ValueError when the open model has no such unit."""
        if not self._exists(unit):
            if unit.layer not in self.layers:
                raise ValueError(f"no layer {unit.layer!r} in this model")
            raise ValueError(f"{unit} does not exist: {unit.layer} has units 0 to {self.layers[unit.layer].units - 1}")

    def _announce_selection(self) -> None:
        self._record(layer=self.layer, unit=str(self.unit) if self.unit is not None else "")
        self.selection, self.family = (self.unit.index,) if self.unit is not None else (), ""
        self.layer_changed.emit(self.layer)
        self.unit_changed.emit(self.unit)
        self.selection_changed.emit(self.selection)

    # The circuit

    def open_circuit(self, circuit: Circuit | None) -> None:
        """Show a circuit in the panel Circuit, which puts it into the investigation; None puts it away."""
        self.circuit = circuit
        self.circuit_changed.emit(circuit)

    # What is saved

    @property
    def project(self) -> Project:
        """The investigation that is saved; whoever changes its content calls `touch` afterwards."""
        if self._project is None:  # made when it is first needed, after the window shows
            from workbench.project import Project

            self._project = Project()
        return self._project

    @project.setter
    def project(self, project: Project) -> None:
        self._project = project
        self.undo_stack.clear()
        self.set_modified(False)
        self.open_circuit(None)
        self.project_changed.emit()

    def touch(self) -> None:
        """Say that the content of the project was changed: it is saved soon, and the title shows the mark."""
        self.set_modified(True)
        self.touched.emit()

    def set_modified(self, modified: bool) -> None:
        """Set whether the project differs from its file."""
        if modified != self.modified:
            self.modified = modified
            self.modified_changed.emit(modified)

    def record_open(self) -> None:
        """Note in the project what is open and selected."""
        self._record(
            model=self.model.ref if self.model is not None else "",
            images=self.images.ref if self.images is not None else "",
            layer=self.layer,
            unit=str(self.unit) if self.unit is not None else "",
        )

    def _record(self, **opened: str) -> None:
        for name, value in opened.items():
            setattr(self.project, name, value)
        self.touched.emit()

    def close(self, timeout: float) -> None:
        """Cancel all jobs, wait for the worker at most `timeout` seconds, and let go of everything."""
        self.relay.close(timeout)
        # Edits hold the session, which holds their stack: the collector of such rings may free an edit before the stack that deletes it.
        self.undo_stack.blockSignals(True)
        self.undo_stack.clear()

    # What the user is told

    def report(self, text: str, details: str = "") -> None:
        """Show an error in the message bar."""
        self.message.emit(Message(text, details))

    def inform(self, text: str) -> None:
        """Show a remark in the message bar."""
        self.message.emit(Message(text, level="info"))
