"""What a newcomer does in the first five minutes, in a real window: open, look, click a unit, export it, close, open again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
from PIL import Image


def kept(home: Path) -> dict[str, object]:
    """The running copy of the investigation, or nothing while there is none."""
    found = list((home / ".local").rglob("investigation.json"))
    return json.loads(found[0].read_text(encoding="utf-8")) if found else {}


def drawn_thumbnails(home: Path) -> int:
    """How many feature visualisations the store holds."""
    return sum(1 for _ in (home / ".cache" / "circuit-workbench" / "thumbnails").glob("*/*.webp"))


def colours(pixels: np.ndarray) -> float:
    """Part of the pixels that are neither grey nor white: pictures are, panels are not."""
    return float((np.ptp(pixels.astype(int), axis=2) > 24).mean())


def test_from_the_first_start_to_an_exported_figure(workbench, tmp_path, monkeypatch):
    monkeypatch.delenv("WORKBENCH_CACHE", raising=False)
    home = workbench.home
    picture = tmp_path / "stripes.png"
    stripes = np.zeros((200, 240, 3), np.uint8)
    stripes[:, ::16] = stripes[:, 1::16] = stripes[:, 2::16] = (250, 220, 40)
    Image.fromarray(stripes).save(picture)

    window = workbench.start(str(picture))
    window.wait_until("the network", lambda: kept(home).get("model") == "bundled:inception", 60)
    window.wait_until("the images", lambda: kept(home).get("images") == "emoji", 60)
    window.wait_until("pictures on the screen", lambda: colours(window.screenshot("grid")) > 0.02, 60)
    window.wait_until("the first finer ones", lambda: drawn_thumbnails(home) >= 8, 240)

    window.key("ctrl+g")
    window.type("mixed3b:7")
    window.key("Return")
    window.wait_until("the unit typed", lambda: kept(home).get("unit") == "mixed3b:7", 20)
    window.key("ctrl+Right")
    window.wait_until("the next unit", lambda: kept(home).get("unit") == "mixed3b:8", 20)
    window.screenshot("inspector")

    window.key("ctrl+shift+p")
    window.type("next layer")
    window.key("Return")
    window.wait_until("the next layer", lambda: kept(home).get("layer") not in ("", "mixed3b"), 20)
    window.key("ctrl+g")
    window.type("mixed3b:8")
    window.key("Return")
    window.wait_until("the unit again", lambda: kept(home).get("unit") == "mixed3b:8", 20)

    shown = window.windows()
    window.key("ctrl+e")
    window.wait_until("the dialog of views", lambda: window.windows() > shown, 20)
    shown = window.windows()
    window.screenshot("views")
    window.key("Return")  # Export…
    window.wait_until("the dialog of files", lambda: window.windows() > shown, 20)
    window.screenshot("export")
    target = tmp_path / "finding.svg"
    window.key("ctrl+a")
    window.type(str(target))
    window.key("Return")
    window.wait_until("the exported figure", target.with_suffix(".json").exists, 30)
    assert re.search(r"<svg\b", target.read_text(encoding="utf-8"))
    provenance = json.loads(target.with_suffix(".json").read_text(encoding="utf-8"))
    assert "bundled:inception" in json.dumps(provenance)
    with np.load(target.with_suffix(".npz")) as data:
        assert data.files
    window.key("Escape")
    assert window.close() == 0, window.output()
    assert "Traceback" not in window.output()

    again = workbench.start()
    again.wait_until("the same unit", lambda: kept(home).get("unit") == "mixed3b:8", 180)
    again.wait_until("its pictures", lambda: colours(again.screenshot("again")) > 0.02, 120)
    assert again.close() == 0, again.output()
    assert "Traceback" not in again.output()
