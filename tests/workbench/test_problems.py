"""The table of problems: complete, ordered, in our own words, with links that can be followed."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from workbench import problems

# The facts of the original table: number -> (sub-category, difficulty).
TABLE = {
    **dict.fromkeys(("7.1", "7.2", "7.3"), ("Reverse engineering image models", "C")),
    "7.4": ("Building on the Circuits thread", "C"),
    "7.5": ("Building on the Circuits thread", "C"),
    "7.6": ("Building on the Circuits thread", "D"),
    "7.7": ("Building on the Circuits thread", "B"),
    "7.8": ("Building on the Circuits thread", "C"),
    "7.9": ("Building on the Circuits thread", "B"),
    "7.10": ("Multimodal models (CLIP)", "B"),
    "7.11": ("Multimodal models (CLIP)", "C"),
    "7.12": ("Multimodal models (CLIP)", "C"),
    "7.13": ("Multimodal models (CLIP)", "B"),
    "7.14": ("", "C"),
    "7.15": ("", "B"),
    "7.16": ("Diffusion models", "B"),
    "7.17": ("Diffusion models", "B"),
    "7.18": ("Diffusion models", "B"),
}
PANELS = {  # a panel that is not built yet has the id it will have
    *("problems", "model_loader", "neuron_grid", "inspector", "weights", "motifs", "families", "circuit_graph", "evidence"),
    *("patching", "patching_canvas", "polysemanticity", "filter_editor", "tuning", "training", "attention", "text_search", "generate"),
    *("scrubbing", "jobs", "notes", "phase_change"),
}


def test_the_table_is_the_original_one():
    loaded = problems.load()
    assert [p.number for p in loaded] == list(TABLE), "all 18, ordered by number"
    assert {p.number: (p.sub_category, p.difficulty) for p in loaded} == TABLE
    assert {p.category for p in loaded} == {"Image Model Interpretability"}
    assert {p.number: p.printed_number for p in loaded if p.printed_number != p.number} == {"7.10": "7.1"}


@pytest.mark.parametrize("problem", problems.load(), ids=lambda p: p.number)
def test_every_problem_can_be_worked_on(problem: problems.Problem):
    sentences = re.findall(r"[.?!](?:\s|$)", problem.text)
    assert 2 <= len(sentences) <= 5, problem.text
    assert "\n" not in problem.text and "  " not in problem.text
    assert "answer" in problem.text, "says what an answer would look like"
    assert 15 <= len(problem.title) <= 70
    assert problem.opens and set(problem.opens) <= PANELS and len(set(problem.opens)) == len(problem.opens)
    assert problem.analyses and all(re.fullmatch(r"([A-Z][a-z]+)+", name) for name in problem.analyses)


@pytest.mark.parametrize("problem", problems.load(), ids=lambda p: p.number)
def test_existing_work_has_a_year_and_an_address(problem: problems.Problem):
    assert len(problem.existing_work) >= 3
    urls = [link.url for link in problem.existing_work]
    assert len(set(urls)) == len(urls)
    for link in problem.existing_work:
        parts = urlsplit(link.url)
        assert parts.scheme == "https" and "." in parts.netloc and parts.path not in ("", "/")
        assert re.search(r"\((?:.+, )?(19|20)\d\d\)$", link.title), link.title
        if parts.netloc == "arxiv.org":
            assert re.fullmatch(r"/abs/\d{4}\.\d{4,5}", parts.path)


def test_one_work_has_one_title_everywhere():
    titles: dict[str, set[str]] = {}
    for problem in problems.load():
        for link in problem.existing_work:
            titles.setdefault(link.url, set()).add(link.title)
    assert {url: names for url, names in titles.items() if len(names) > 1} == {}


def test_found_by_number_or_refused_with_the_range():
    assert problems.find("7.10").title == "How sparse are the weights between neighbouring layers?"
    assert problems.find(" 7.1 ").title == "How far can a ResNet be reverse engineered?"
    with pytest.raises(ValueError, match=r"no open problem '7.19'; they are numbered 7.1 to 7.18"):
        problems.find("7.19")


def test_sources_are_named():
    assert {urlsplit(link.url).netloc for link in problems.sources()} == {"www.alignmentforum.org", "coda.io"}
