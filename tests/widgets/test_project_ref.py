"""What is known of a network's units is there as well when it is opened with directions; what is known of directions stays theirs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.widgets.conftest import CARD
from widgets.circuit_edit import add_units
from widgets.family_dialog import edit_family
from widgets.label_edit import export_labels, import_labels, set_labels
from widgets.panels.inspector import InspectorPanel
from widgets.unit_names import UnitNames
from workbench.jobs.requests import LoadModel
from workbench.labels import Label
from workbench.models.layer import Layer, Unit
from workbench.owner import known_of, listed_of, owner_of
from workbench.unit_families import Family, families_with, find_family

PLAIN, WITH, LAYER = "test:small", "test:small?directions=sae,nmf", "blocks.0.act"
LATENTS = f"{LAYER}~sae"


def opened(request: LoadModel) -> Any:
    """Answer as the worker does: with directions there is a layer more."""
    more = (Layer(LATENTS, "alias", (8, 28, 28), 0, "post"),) if "directions=" in request.ref else ()
    return replace(CARD, ref=request.ref, layers=(*CARD.layers[:4], *more, *CARD.layers[4:]))


@pytest.fixture
def go(session, runner, qtbot):
    """Give a function that opens a network and a unit of it."""
    runner.answers[LoadModel] = opened

    def go(ref: str, unit: Unit) -> None:
        session.open_model(ref, layer=unit.layer, unit=unit)
        qtbot.waitUntil(lambda: session.model is not None and session.model.ref == ref and session.unit == unit)

    return go


def test_what_is_kept_has_one_owner() -> None:
    assert owner_of(PLAIN, LAYER) == owner_of(WITH, LAYER) == owner_of(WITH) == PLAIN
    assert owner_of(WITH, LATENTS) == WITH and owner_of(WITH, f"{LAYER}~other") == PLAIN
    assert owner_of("bundled:inception?step=3&directions=sae", LAYER) == "bundled:inception?step=3", "a checkpoint is another network"
    assert known_of({PLAIN: {"a:1": 2}}, WITH, "a") == {"a:1": 2} and known_of({}, WITH, "a") == {}
    assert listed_of({PLAIN: [1], WITH: [2]}, WITH) == [1, 2] and listed_of({PLAIN: [1], WITH: [2]}, PLAIN) == [1]


def test_a_label_is_there_with_directions_and_undo_takes_it_away(session, go, qtbot) -> None:
    unit, names = Unit(LAYER, 5), UnitNames(session)
    inspector = InspectorPanel(session)
    qtbot.addWidget(inspector)
    go(PLAIN, unit)
    set_labels(session, session.model.ref, unit, [Label("curve")], "label")
    go(WITH, unit)
    assert names.labels(5) == ["curve"] and [label.name for label in inspector.labels.labels()] == ["curve"]
    inspector.labels.name.setText("arc")
    inspector.labels.commit()
    assert [label.name for label in session.project.labels[PLAIN][str(unit)]] == ["curve", "arc"] and WITH not in session.project.labels
    session.undo_stack.undo()
    session.undo_stack.undo()
    assert session.project.labels == {} and names.labels(5) == []
    session.undo_stack.redo()
    go(PLAIN, unit)
    assert names.labels(5) == ["curve"]


def test_a_label_of_a_direction_lands_on_no_unit(session, go) -> None:
    names = UnitNames(session)
    go(WITH, Unit(LATENTS, 5))
    set_labels(session, session.model.ref, session.unit, [Label("latent")], "label")
    ((ref, of_ref),) = session.project.labels.items()
    assert ref == WITH and [(unit, [label.name for label in labels]) for unit, labels in of_ref.items()] == [(f"{LATENTS}:5", ["latent"])]
    assert names.labels(5) == ["latent"]
    session.select_unit(Unit(LAYER, 5))
    assert names.labels(5) == []


def test_families_are_kept_by_the_owner_of_their_layer(session, go) -> None:
    go(WITH, Unit(LAYER, 1))
    edit_family(session, session.model.ref, None, Family("turned", LAYER, [1, 2]))
    go(WITH, Unit(LATENTS, 1))
    edit_family(session, session.model.ref, None, Family("turned", LATENTS, [3, 4]))
    families = session.project.families
    assert {ref: [family.layer for family in kept] for ref, kept in families.items()} == {PLAIN: [LAYER], WITH: [LATENTS]}
    assert find_family(families, WITH, LAYER, "turned").units == [1, 2] == families_with(families, PLAIN, LAYER, 2)[0].units
    go(PLAIN, Unit(LAYER, 1))
    session.select_family(LAYER, "turned")
    assert session.selection == (1, 2)
    session.undo_stack.undo()
    assert list(families := session.project.families) == [PLAIN] and families[PLAIN][0].layer == LAYER


def test_a_circuit_goes_on_with_directions_and_is_of_them_once_it_has_one(session, go) -> None:
    go(PLAIN, Unit(LAYER, 1))
    add_units(session, [f"{LAYER}:1"], "begin")
    go(WITH, Unit(LAYER, 2))
    add_units(session, [f"{LAYER}:2"], "go on")
    assert len(session.project.circuits) == 1 and session.circuit.model == PLAIN and session.is_open(session.circuit.model)
    add_units(session, [f"{LATENTS}:0"], "add a direction")
    assert session.circuit.model == WITH and len(session.project.circuits) == 1
    session.undo_stack.undo()
    assert session.circuit.model == PLAIN


def test_a_link_to_a_unit_of_the_network_alone_needs_no_other_network(session, go, runner) -> None:
    go(WITH, Unit(LAYER, 1))
    asked = len(runner.asked(LoadModel))
    session.addresses.open(f"workbench:{PLAIN}#{LAYER}:3")
    assert session.unit == Unit(LAYER, 3) and len(runner.asked(LoadModel)) == asked


def test_a_table_of_labels_finds_its_owners(session, go, tmp_path: Path) -> None:
    go(WITH, Unit(LAYER, 1))
    for unit, name in ((Unit(LAYER, 1), "plain"), (Unit(LATENTS, 1), "latent")):
        set_labels(session, session.model.ref, unit, [Label(name)], "label")
    kept = {ref: list(units) for ref, units in session.project.labels.items()}
    export_labels(session, tmp_path / "labels.csv")
    session.project.labels = {}
    import_labels(session, tmp_path / "labels.csv")
    assert {ref: list(units) for ref, units in session.project.labels.items()} == kept == {PLAIN: [f"{LAYER}:1"], WITH: [f"{LATENTS}:1"]}
