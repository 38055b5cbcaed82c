"""Pages that need nothing beside them: text is text, figures stand beside one another without mixing their names."""

from __future__ import annotations

import re

from matplotlib.figure import Figure

from workbench.report_page import STYLE, Details, Drawing, Section, Table, as_svg, report_page

EVIL = '<script>alert("1")</script>'


def line() -> Figure:
    figure = Figure(figsize=(3, 2))
    axis = figure.subplots()
    axis.plot([0, 3, 1])
    axis.set_title(EVIL, parse_math=False)
    return figure


def test_everything_that_comes_from_outside_is_text():
    parts = [EVIL, Table((EVIL, "n"), [(EVIL, 1234), ("b", 0.123456)], EVIL), Drawing(EVIL, as_svg(line(), "a"), EVIL), Details(EVIL, EVIL)]
    page = report_page(EVIL, [Section(EVIL, parts)], EVIL, {EVIL: EVIL, "nothing": ""})
    assert "<script" not in page and page.count("&lt;script&gt;") == 16  # one is a comment of the drawing
    assert '<td class="number">1,234</td>' in page and '<td class="number">0.1235</td>' in page and "nothing" not in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)


def test_it_is_light_and_dark_and_can_be_printed():
    assert "color-scheme: light dark" in STYLE and "@media print" in STYLE


def test_figures_are_elements_with_names_of_their_own():
    one, two, again = as_svg(line(), "a"), as_svg(line(), "b"), as_svg(line(), "a")
    assert one.startswith("<svg") and one.endswith("</svg>") and "<metadata" not in one
    assert one == again, "the same figure is the same text"
    clips = [set(re.findall(r'clipPath id="([^"]+)"', svg)) for svg in (one, two)]
    assert clips[0] and not clips[0] & clips[1]
