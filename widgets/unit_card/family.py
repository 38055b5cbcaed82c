"""Units that are selected together, looked at as one: what each looks for and responds to, in order, and what they do on your image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from widgets.unit_card.response import as_map
from widgets.unit_card.section import Section
from widgets.views.axes import number
from widgets.views.effect_list import Effect, EffectList
from widgets.views.image_strip import ImageStrip, Picture, Row
from widgets.views.image_view import ImageView
from workbench.jobs.unit_requests import MapsOnImage, StrongestImages, Thumbnails
from workbench.labels import variable_names
from workbench.recompute import of_images, of_strongest, of_visualizations
from workbench.unit_families import Family, find_family

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from widgets.session import Session
    from widgets.views.view import View
    from workbench.analyses.analysis import Result
    from workbench.jobs.job import JobEvent
    from workbench.models.layer import Unit

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
        self._strongest: Mapping[str, Any] = {}
        self._measured: np.ndarray | None = None  # image that is known what the units do on
        session.selection_changed.connect(lambda _units: self._on_selection())
        session.project_changed.connect(self._on_selection)
        session.touched.connect(self._name)
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
            self._subject = subject
            self._pictures.clear()
            self._strongest = {}
            self._forget_response()
        self.setVisible(bool(several))
        self._name()

    def _family(self) -> Family | None:
        session, (model, layer, _) = self.session, self._subject
        return find_family(session.project.families, model, layer, session.family) if session.family else None

    def _name(self) -> None:
        if self.units:
            family, more = self._family(), len(self.session.selection) - len(self.units)
            many = f"{len(self.session.selection)} units" + (f", the first {MOST} shown" if more else "")
            self.note.setText(f"{family.name} · {many}" if family is not None else many)
            self._show()

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

    def show_unit(self, unit: Unit) -> None:
        """Turn to another of the units; the others stay."""
        self.unit = unit
        self.begin()

    # ------------------------------------------------------------------------------------------------ asking

    def ask(self) -> None:
        """Ask for what is not there yet."""
        model, layer, units = self._subject
        relay, images, image = self.session.relay, self.session.images, self.session.image
        if not units:
            return
        missing = tuple(unit for unit in units if self._pictures.get(unit, ("",))[0] != "fine")
        if missing:
            for level in ("coarse", "fine"):
                relay.submit(Thumbnails(model, layer, missing, level, purpose="inspector family"), self._take_pictures)
        if images is not None and not self._strongest:
            relay.submit(StrongestImages(model, images.ref, layer, units), self._take_strongest)
        if image is not self._measured:
            self._forget_response()
        if image is not None and self._measured is None:
            relay.submit(MapsOnImage(model, layer, units, image), self._take_response)

    def forget_images(self) -> None:
        """Let go of what was found in other images."""
        self._strongest = {}
        self.begin()

    def _is_current(self, request: Thumbnails | StrongestImages | MapsOnImage) -> bool:
        return (request.model, request.layer) == self._subject[:2] and set(request.units) <= set(self.units)

    def _take_pictures(self, event: JobEvent) -> None:
        request = event.request
        assert isinstance(request, Thumbnails)
        if not self._is_current(request):
            return
        found = event.partial or event.result
        if event.state == "failed":
            self.strip.clear(event.error)
        elif found:
            for unit, images in found.items():
                if self._pictures.get(unit, ("",))[0] != "fine":
                    self._pictures[unit] = request.level, images[0]
            self._show()

    def _take_strongest(self, event: JobEvent) -> None:
        request, images = event.request, self.session.images
        assert isinstance(request, StrongestImages)
        if event.state == "done" and images is not None and request.images == images.ref and request.units == self.units:
            self._strongest = event.result or {}
            self._show()

    def _take_response(self, event: JobEvent) -> None:
        request = event.request
        assert isinstance(request, MapsOnImage)
        if request.image is not self.session.image or not self._is_current(request) or request.units != self.units:
            return
        if event.state == "failed":
            self._forget_response()
            self.note.setText(event.error)
        elif event.state == "done":
            self._show_response(event.result)

    # ------------------------------------------------------------------------------------------------ showing

    def _show(self) -> None:
        model, layer, units = self._subject
        level = "fine" if all(self._pictures.get(unit, ("",))[0] == "fine" for unit in units) else "coarse"
        family = self._family()
        name = f"family {family.name} of {layer}" if family is not None else f"{len(units)} units of {layer}"
        looked_at = self.unit.index if self.unit is not None and self.unit.layer == layer else -1
        rows = [Row("what excites each", tuple(self._picture(unit, looked_at) for unit in units), lines=MOST)]
        if self._strongest:
            found, images = self._strongest, self.session.images
            examples = tuple(
                Picture(
                    found["images"][place],
                    number(float(found["values"][place])),
                    value=float(found["values"][place]),
                    tip=f"{found['names'][place]}\nactivation {number(float(found['values'][place]))} of {layer}:{unit}",
                )
                for place, unit in enumerate(units)
            )
            rows.append(Row("what drives each most", examples, f"{images.name}, n = {found['n']:,}" if images else "", lines=MOST))
        origin = {"images": self.session.images.ref} if self._strongest and self.session.images is not None else {}
        self.strip.show_rows(rows, title=f"The {name} ({self._role})", made_from=self._origin(**origin))
        names = variable_names(self.session.project.labels.get(model, {}), layer)
        again = of_visualizations(model, layer, units, level, 1, {"pictures": False}, names)
        if self._strongest and self.session.images is not None:
            again = of_strongest(again, self.session.images.ref, self._strongest["sweep"])
        self.strip.recomputation = again

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
        self._measured = None
        self.response.clear()
        self.map.clear()
        self.map.hide()

    def _show_response(self, result: Result) -> None:
        self._measured = self.session.image
        model, layer, units = self._subject
        on = self.session.image_name or "your image"
        origin = self._origin(image=self.session.image_name or "given by the user")
        values = result.arrays["value"]
        effects = [
            Effect(self._called(unit), float(value), tip=f"{layer}:{unit}\nClick to look at it")
            for unit, value in zip(units, values, strict=True)
        ]
        self.response.show_effects(effects, title=f"{layer} on {on}", label=f"largest {self._role} on {on}", made_from=origin)
        together = as_map(result.arrays["maps"].max(0))
        self.map.setVisible(together is not None)
        if together is not None:
            self.map.show_image(result.arrays["input"], title=f"Largest of {len(units)} units of {layer} on {on}")
            strongest = self._called(units[int(values.argmax())])
            self.map.show_map(
                together, label=self._role, caption=f"largest of the {len(units)} units · most active: {strongest}", made_from=origin
            )
        image = self.session.kept_image
        if image is not None:
            names = variable_names(self.session.project.labels.get(model, {}), layer)
            self.response.recomputation = self.map.recomputation = of_images(model, image, layer, units, names)

    def views(self) -> list[View]:
        """The strip, and what the units do on the image."""
        if not self.units:
            return []
        return [self.strip, *([self.response] if self.response.effects else []), *([self.map] if not self.map.isHidden() else [])]
