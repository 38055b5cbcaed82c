"""What is exported can be printed, read again, and traced back."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
import zlib

import numpy as np
import pytest
from PySide6.QtCore import QRectF, QSizeF, Qt
from PySide6.QtGui import QGuiApplication, QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QFileDialog, QMenu, QMessageBox

from widgets.export import FILTERS, copy_image, export_view
from widgets.export_dialog import ExportDialog
from widgets.views.contact_sheet import ContactSheet
from widgets.views.histogram import Band, Histogram
from widgets.views.image_strip import ImageStrip, Picture, Row
from widgets.views.image_view import ImageView
from widgets.views.view import PAPER, as_image

MADE_FROM = {
    "model": "bundled:efficientnet-lite0",
    "weights": "abc123",
    "layer": "blocks.3",
    "role": "post",
    "images": 7850,
}
NOISE = np.random.default_rng(0).integers(0, 255, (20, 40, 40, 3), dtype=np.uint8)


def histogram() -> Histogram:
    view = Histogram()
    view.show_counts(
        np.linspace(-1, 4, 21),
        np.arange(20) ** 3,
        title="blocks.3:12",
        label="activation (post-activation)",
        counted="positions",
        note="7,850 images",
        bands=[Band("99–100 %", 3, 4)],
        made_from=MADE_FROM,
    )
    view.set_marker(2.5, "this image 2.50")
    return view


def image() -> ImageView:
    view = ImageView()
    view.show_image(NOISE[0], title="blocks.3:12 on photo.png")
    view.show_map(np.arange(49.0).reshape(7, 7) - 10, label="activation (pre)", caption="max 38", made_from=MADE_FROM)
    return view


def strip() -> ImageStrip:
    view = ImageStrip()
    view.resize(400, 100)
    pictures = tuple(Picture(NOISE[i], f"{9 - i}", "cat", 9.0 - i) for i in range(4))
    view.show_rows([Row("top", pictures, "5–9")], title="Dataset examples of blocks.3:12", made_from=MADE_FROM)
    return view


def sheet() -> ContactSheet:
    images = {unit: as_image(NOISE[unit]) for unit in range(18)}
    values = {unit: unit / 10 for unit in range(20)}
    return ContactSheet(
        range(20),
        images,
        values,
        "mean activation (post)",
        title="blocks.3",
        subtitle="post-activation, n = 7,850",
        made_from=MADE_FROM,
    )


VIEWS = {"histogram": histogram, "image": image, "strip": strip, "sheet": sheet}


@pytest.fixture(params=VIEWS)
def view(request, qtbot):
    made = VIEWS[request.param]()
    if not isinstance(made, ContactSheet):
        qtbot.addWidget(made)
    return made


def test_png_is_four_times_the_figure_on_white(view, tmp_path):
    path, _, _ = export_view(view, tmp_path / "figure.png")
    written, size = QImage(str(path)), view.figure_size()
    assert (written.width(), written.height()) == (round(size.width() * 4), round(size.height() * 4))
    assert abs(written.dotsPerMeterX() * 0.0254 - 384) < 1
    assert written.pixelColor(1, 1).name() == "#ffffff"
    assert len({written.pixel(x, y) for x in range(0, written.width(), 9) for y in range(0, written.height(), 9)}) > 4


def test_svg_parses_and_its_text_is_text(view, tmp_path):
    path, _, _ = export_view(view, tmp_path / "figure.svg")
    root = ElementTree.parse(path).getroot()
    size = view.figure_size()
    assert root.get("viewBox") == f"0 0 {round(size.width())} {round(size.height())}"
    words = " ".join(element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text"))
    assert view.title.split()[0] in words


def test_pdf_has_vector_text_and_the_figures_size(view, tmp_path):
    path, _, _ = export_view(view, tmp_path / "figure.pdf")
    content = path.read_bytes()
    size = view.figure_size()
    box = [float(number) for number in re.search(rb"/MediaBox \[([^\]]+)\]", content)[1].split()]
    assert box[2:] == pytest.approx([size.width() * 0.75, size.height() * 0.75], abs=1)
    assert b"/FontFile2" in content or b"/FontFile3" in content  # the font is embedded, so text stays text
    streams = [part for part in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.S)]
    pages = [text for part in streams if b" Tf" in (text := unpacked(part))]
    assert pages and any(b" Tj" in page or b" TJ" in page for page in pages)
    assert b"/DCTDecode" not in content  # pictures lose nothing


def unpacked(stream: bytes) -> bytes:
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return b""


def test_data_and_provenance_lie_beside_the_figure(view, tmp_path):
    _, numbers, origin = export_view(view, tmp_path / "new folder" / "figure.svg")
    with np.load(numbers) as written:
        expected = view.data()
        assert set(written) == set(expected) and expected
        for name, array in expected.items():
            np.testing.assert_array_equal(written[name], array)
            assert written[name].dtype == array.dtype
    document = json.loads(origin.read_text(encoding="utf-8"))
    assert MADE_FROM.items() <= document.items()
    assert document["figure"] == "figure.svg" and document["versions"]["workbench"]
    assert document["arrays"].keys() == expected.keys()


def test_screen_and_file_are_painted_by_the_same_code_in_their_own_ink(qtbot, tmp_path, monkeypatch):
    view = histogram()
    qtbot.addWidget(view)
    inks = []
    paint = view.paint
    monkeypatch.setattr(view, "paint", lambda painter, rect: (inks.append(view.ink), paint(painter, rect)))
    screen = view.ink
    view.grab()
    export_view(view, tmp_path / "a.pdf")
    assert inks == [screen, PAPER] and view.ink is screen


def test_unknown_ending_is_refused(qtbot, tmp_path):
    view = histogram()
    qtbot.addWidget(view)
    with pytest.raises(ValueError, match=r"\.png, \.svg or \.pdf"):
        export_view(view, tmp_path / "figure.jpg")
    assert not list(tmp_path.iterdir())


def test_unwritable_place_is_an_error_of_the_system(qtbot, tmp_path):
    view = histogram()
    qtbot.addWidget(view)
    for ending in ("pdf", "svg", "png"):
        (tmp_path / f"figure.{ending}").mkdir()
        with pytest.raises(OSError):
            export_view(view, tmp_path / f"figure.{ending}")


def test_copied_image_has_the_exports_resolution(qtbot):
    view = histogram()
    qtbot.addWidget(view)
    copy_image(view)
    assert QGuiApplication.clipboard().image().width() == 1600
    QGuiApplication.clipboard().clear()


def test_a_figure_for_all_units_of_a_wide_layer_fits_into_memory(qtbot, tmp_path):
    path, _, _ = export_view(ContactSheet(range(4096), {}, title="wide"), tmp_path / "wide.png")
    written = QImage(str(path))
    assert 55e6 < written.width() * written.height() <= 61e6


def test_contact_sheet_tells_which_units_have_no_image(qtbot):
    made = sheet()
    assert made.provenance()["without image"] == [18, 19]
    data = made.data()
    np.testing.assert_array_equal(data["images"], NOISE[:18])
    np.testing.assert_allclose(data["values"], np.arange(20) / 10)
    size = made.figure_size()
    image = QImage(round(size.width()), round(size.height()), QImage.Format.Format_RGB32)
    from PySide6.QtGui import QPainter

    painter = QPainter(image)
    made.paint(painter, QRectF(0, 0, image.width(), image.height()))
    painter.end()
    assert size.width() > size.height() > 0 and QSizeF(size).isValid()


# The dialog


@pytest.fixture
def dialog(qtbot):
    first, second = histogram(), sheet()
    qtbot.addWidget(first)
    dialog = ExportDialog({"Inspector": [first], "Neurons": [second]})
    dialog.show()
    yield dialog
    dialog.close()


def rows(dialog) -> list[str]:
    return [dialog.list.item(i).text() for i in range(dialog.list.count())]


def test_the_dialog_offers_the_views_by_panel_and_names_all_three_files(dialog):
    assert rows(dialog) == ["Inspector", "blocks.3:12", "Neurons", "blocks.3"]
    assert dialog.list.currentItem().text() == "blocks.3:12" and not dialog.picture.pixmap().isNull()
    three = ("blocks.3-12.pdf", "blocks.3-12.npz", "blocks.3-12.json")
    assert all(name in dialog.said.text() for name in three)
    QTest.keyClick(dialog.list, Qt.Key.Key_Down)
    assert dialog.list.currentItem().text() == "blocks.3"  # a heading is passed over


def test_what_was_written_is_said_and_a_name_without_a_known_ending_gets_one(dialog, tmp_path):
    dialog.choose(str(tmp_path / "fig.v2"), FILTERS[".svg"])
    assert dialog.said.text() == f"Written: {tmp_path / 'fig.v2.svg'}, fig.v2.npz, fig.v2.json"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fig.v2.json", "fig.v2.npz", "fig.v2.svg"]
    dialog.write.click()
    files = dialog.findChild(QFileDialog)
    assert files.directory().absolutePath() == str(tmp_path)  # where the last one went
    files.reject()


@pytest.mark.parametrize("there", ["fig.pdf", "fig.npz", "fig.json"])
def test_nothing_is_overwritten_unasked(dialog, tmp_path, there):
    (tmp_path / there).write_text("precious", encoding="utf-8")
    dialog.choose(str(tmp_path / "fig.pdf"))
    box = dialog.findChild(QMessageBox)
    assert box.isVisible() and box.text() == f"Replace {there}?"
    box.button(QMessageBox.StandardButton.Cancel).click()
    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["precious"]
    dialog.choose(str(tmp_path / "fig.pdf"))
    dialog.findChildren(QMessageBox)[-1].button(QMessageBox.StandardButton.Yes).click()
    assert dialog.said.text().startswith("Written: ") and (tmp_path / there).read_bytes() != b"precious"


@pytest.mark.parametrize("error", [ValueError("no such ending"), OSError(28, "No space left on device")])
def test_what_went_wrong_is_said(dialog, tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr("widgets.export_dialog.export_view", fail)
    dialog.choose(str(tmp_path / "fig.pdf"))
    assert dialog.said.text() == f"Not written: {error}"


def test_a_views_own_menu_opens_the_same_dialog(qtbot):
    view = histogram()
    qtbot.addWidget(view)
    menu = QMenu(view)
    view.fill_menu(menu)
    next(action for action in menu.actions() if action.text() == "Export…").trigger()
    opened = view.findChild(ExportDialog)
    assert opened.isVisible() and rows(opened) == ["This view", "blocks.3:12"]
    opened.close()


def test_an_export_that_fails_leaves_the_one_before_whole(qapp, tmp_path, monkeypatch):
    before = {file: file.read_bytes() for file in export_view(histogram(), tmp_path / "figure.pdf")}

    def full(*_args: object, **_arrays: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        export_view(image(), tmp_path / "figure.pdf")
    with pytest.raises(OSError, match="No space left"):
        export_view(image(), tmp_path / "new.pdf")
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before
