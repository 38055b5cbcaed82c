"""Units that are selected together, looked at as one: what each looks for and responds to, in order, and what they do on your image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from widgets.unit_card.section import Section
from widgets.views.axes import number
from widgets.views.effect_list import Effect, EffectList
from widgets.views.image_strip import ImageStrip, Picture, Row
from widgets.views.image_view import ImageView
from workbench.jobs.example_requests import StrongestImages
from workbench.jobs.on_image_requests import MapsOnImage
from workbench.jobs.requests import Sweep
from workbench.jobs.thumbnail_requests import Level, Thumbnails
from workbench.labels import variable_names
from workbench.owner import known_of
from workbench.recompute import of_images, of_pictures, of_strongest
from workbench.unit_families import Family, find_family

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from widgets.session import Session
    from widgets.views.view import View
    from workbench.analyses.analysis import Result
    from workbench.jobs.job import JobEvent

MOST = 32
"""Units shown; of a larger selection the first."""


class FamilySection(Section):
    """The selected units in their order; nothing while only one is selected."""

    def __init__(self, session: Session) -> None:
        super().__init__(
            session,
            "Selected together",
            "The units of the family, or those selected in the panel Neurons, in their order. Click one to look at it",
        )
        self.strip = ImageStrip(smallest=56, largest=96)
        self.strip.setAccessibleName("Selected units")
        self.strip.picked.connect(lambda _row, place: self._look_at(place))
        self.response = EffectList(linked=True)
        self.response.setAccessibleName("Largest activation of each selected unit on your image")
        self.response.picked.connect(self._look_at)
        self.map = ImageView()
        self.map.setFixedHeight(220)
        self.map.setAccessibleName("Your image with the largest activation of the selected units")
        self.add(self.strip, self.response, self.map)
        self._subject: tuple[str, str, tuple[int, ...]] = ("", "", ())
        self._pictures: dict[int, tuple[str, np.ndarray]] = {}  # unit -> level, image
        self._strongest: Mapping[str, Any] | None = None  # empty where the layer was not swept, None while nothing is known
        self._result: Result | None = None  # of the image
        self._measured: np.ndarray | None = None  # image that is asked for, or known what the units do on
        self._jobs: dict[str, int] = {}  # what is under way
        self._called_last: tuple[object, ...] = ()
        session.selection_changed.connect(lambda _units: self._on_selection())
        session.project_changed.connect(self._on_selection)
        session.touched.connect(self._on_touched)
        session.relay.event.connect(self._follow_sweeps)
        self._on_selection()

    # ------------------------------------------------------------------------------------------------ what is selected

    @property
    def units(self) -> tuple[int, ...]:
        """The units that are shown."""
        return self._subject[2]

    def _on_selection(self) -> None:
        session = self.session
        several = session.selection[:MOST] if len(session.selection) > 1 and session.model is not None else ()
        subject = (session.model.ref if session.model is not None else "", session.layer, several)
        if subject != self._subject:
            for job in self._jobs.values():
                session.relay.cancel(job)
            self._jobs.clear()
            self._subject = subject
            self._pictures.clear()
            self._strongest = None
            self._forget_response()
        self.setVisible(bool(several))
        self._on_touched()

    def _family(self) -> Family | None:
        session, (model, layer, _) = self.session, self._subject
        return find_family(session.project.families, model, layer, session.family) if session.family else None

    def _on_touched(self) -> None:
        """Show the units anew where something about their names has changed."""
        family, many = self._family(), len(self.session.selection)
        called = (self._subject, many, family.name if family is not None else "", tuple(map(self._called, self.units)))
        if self.units and called != self._called_last:
            more = f", the first {MOST} shown" if many > len(self.units) else ""
            self.note.setText(f"{family.name} · {many} units{more}" if family is not None else f"{many} units{more}")
            self._show()
            if self._result is not None:
                self._show_response(self._result)
        self._called_last = called

    def _called(self, unit: int) -> str:
        """Say the unit's angle in the family, else its number."""
        family = self._family()
        angle = family.angle(unit) if family is not None and unit in family.units else None
        return f"{unit}: {angle:g}°" if angle is not None else str(unit)

    def _look_at(self, place: int) -> None:
        if place < len(self.units):
            self.session.look_at(self.units[place])

    def begin(self) -> None:
        """Point at the unit that is looked at."""
        if self.units:
            self._show()

    # ------------------------------------------------------------------------------------------------ asking

    def ask(self) -> None:
        """Ask for what is neither there nor under way."""
        model, layer, units = self._subject
        images, image = self.session.images, self.session.image
        if not units:
            return
        missing = tuple(unit for unit in units if self._pictures.get(unit, ("",))[0] != "fine")
        levels: tuple[Level, ...] = ("coarse", "fine")
        for level in levels:
            if missing and level not in self._jobs:
                self._submit(level, Thumbnails(model, layer, missing, level, purpose="inspector family"), self._take_pictures)
        if images is not None and self._strongest is None and "strongest" not in self._jobs:
            self._submit("strongest", StrongestImages(model, images.ref, layer, units), self._take_strongest)
        if image is not self._measured:
            self._forget_response()
            self._measured = image
            if image is not None:
                self._submit("maps", MapsOnImage(model, layer, units, image), self._take_response)

    def _submit(self, what: str, request: Thumbnails | StrongestImages | MapsOnImage, take: Callable[[JobEvent], None]) -> None:
        def follow(event: JobEvent) -> None:
            if event.ended and self._jobs.get(what) == event.job:
                del self._jobs[what]
            if (request.model, request.layer) == self._subject[:2] and set(request.units) <= set(self.units):
                take(event)

        self._jobs[what] = self.session.relay.submit(request, follow)

    def forget_images(self) -> None:
        """Let go of what was found in other images."""
        self._strongest = None
        self._jobs.pop("strongest", None)
        self.begin()

    def _follow_sweeps(self, event: JobEvent) -> None:
        """Look again when a sweep of the layer has ended, whoever started it."""
        model, layer, units = self._subject
        request = event.request
        if units and isinstance(request, Sweep) and event.ended and request.model == model and layer in request.layers:
            self._strongest = None
            self.ask_once_seen()

    def _take_pictures(self, event: JobEvent) -> None:
        found = event.partial or event.result
        if event.state == "failed":
            self.strip.clear(event.error)
        elif found:
            for unit, images in found.items():
                if self._pictures.get(unit, ("",))[0] != "fine":
                    self._pictures[unit] = event.request.level, images[0]
            self._show()

    def _take_strongest(self, event: JobEvent) -> None:
        images = self.session.images
        if event.state == "done" and images is not None and event.request.images == images.ref:
            self._strongest = event.result or {}
            self._show()

    def _take_response(self, event: JobEvent) -> None:
        if event.request.image is not self.session.image:
            return
        if event.state == "failed":
            self._forget_response()
            self.session.report(event.error, event.details)
        elif event.state == "done":
            self._result = event.result
            self._show_response(event.result)

    # ------------------------------------------------------------------------------------------------ showing

    def _show(self) -> None:
        model, layer, units = self._subject
        family, images, found = self._family(), self.session.images, self._strongest
        name = f"family {family.name} of {layer}" if family is not None else f"{len(units)} units of {layer}"
        looked_at = self.unit.index if self.unit is not None and self.unit.layer == layer else -1
        rows = [Row("what excites each", tuple(self._picture(unit, looked_at) for unit in units), lines=MOST)]
        origin: dict[str, object] = {}
        if images is not None and found:
            rows.append(Row("what drives each most", self._examples(found), f"{images.name}, n = {found['n']:,}", lines=MOST))
            sweep = found["sweep"]
            origin = {"images": images.ref, "images_hash": images.content_hash, "n": found["n"], "arithmetic": sweep.get("arithmetic", "")}
        elif images is not None and found is not None:
            rows.append(Row("what drives each most", (), "not swept yet: see Dataset examples"))
        self.strip.show_rows(rows, title=f"The {name} ({self._role})", made_from=self._origin(**origin))
        names = variable_names(known_of(self.session.project.labels, model, layer), layer)
        again = of_pictures(model, layer, {unit: self._pictures.get(unit, ("",))[0] for unit in units}, names)
        if again is not None and images is not None and found:
            again = of_strongest(again, images.ref, found["sweep"])
        self.strip.recomputation = again

    def _examples(self, found: Mapping[str, Any]) -> tuple[Picture, ...]:
        """Return the image that drives each unit most."""
        pictures = []
        for place, unit in enumerate(self.units):
            value = float(found["values"][place])
            tip = f"{found['names'][place]}\nactivation {number(value)} of {self._subject[1]}:{unit}"
            pictures.append(Picture(found["images"][place], number(value), value=value, tip=tip))
        return tuple(pictures)

    def _picture(self, unit: int, looked_at: int) -> Picture:
        _, pixels = self._pictures.get(unit, ("", None))
        called = self._called(unit)
        return Picture(pixels, f"▸ {called}" if unit == looked_at else called, tip=f"{self._subject[1]}:{unit}\nClick to look at it")

    @property
    def _role(self) -> str:
        layer = self.session.layers.get(self._subject[1])
        return f"{layer.role}-activation" if layer is not None and layer.role else "activation"

    def _origin(self, **more: object) -> dict[str, object]:
        """Return the provenance of a figure of these units."""
        session, (model, layer, units) = self.session, self._subject
        badge = {"badge": session.badge} if "images" in more and session.badge else {}
        weights = session.model.weight_hash if session.model is not None else ""
        address = str(session.addresses.selected())
        named = {"family": session.family} if session.family else {}
        return {"model": model, "weights": weights, "layer": layer, "units": list(units), "address": address, **named, **badge, **more}

    def _forget_response(self) -> None:
        self._measured = self._result = None
        self.response.clear()
        self.map.clear()
        self.map.hide()

    def _show_response(self, result: Result) -> None:
        model, layer, units = self._subject
        on = self.session.image_name or "your image"
        origin = self._origin(image=self.session.image_name or "given by the user")
        values = result.arrays["value"]
        effects = [
            Effect(self._called(unit), float(value), tip=f"{layer}:{unit}\nClick to look at it")
            for unit, value in zip(units, values, strict=True)
        ]
        self.response.show_effects(effects, title=f"{layer} on {on}", label=f"largest {self._role} on {on}", made_from=origin)
        shape = result.summary["map"]
        self.map.setVisible(shape is not None)
        if shape is not None:
            patches = result.arrays["maps"].reshape(len(units), -1)[:, -shape[0] * shape[1] :]  # tokens before them have no place
            together = patches.max(0).reshape(shape)
            self.map.show_image(result.arrays["input"], title=f"Largest of {len(units)} units of {layer} on {on}")
            strongest = self._called(units[int(values.argmax())])
            self.map.show_map(
                together, label=self._role, caption=f"largest of the {len(units)} units · most active: {strongest}", made_from=origin
            )
        image = self.session.kept_image
        if image is not None:
            names = variable_names(known_of(self.session.project.labels, model, layer), layer)
            self.response.recomputation = self.map.recomputation = of_images(model, image, layer, units, names)

    def views(self) -> list[View]:
        """The strip, and what the units do on the image."""
        if not self.units:
            return []
        return [self.strip, *([self.response] if self.response.effects else []), *([self.map] if not self.map.isHidden() else [])]
