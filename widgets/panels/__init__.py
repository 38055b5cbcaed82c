"""The panels: one dock a file, and one line here.

A line says what the window has to know before the panel's module is imported, which happens when the panel is first shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Area = Literal["left", "centre", "right", "bottom"]


@dataclass(frozen=True)
class Entry:
    """One panel: where its class is, and what its dock shows without it.

    Attributes
    ----------
    target
        ``module:Class``, the module below `widgets.panels`.
    title
        Title of the dock, and what menus call it.
    area
        Where it stands at first.
    help
        One or two sentences: what it shows and what one does in it.
    open
        Whether its dock is open at first; the others are opened by menu, number or palette, or by what leads to them. More tabs than can
        be read side by side help nobody.
    """

    target: str
    title: str
    area: Area
    help: str
    open: bool = True


PANELS: dict[str, Entry] = {
    "model_loader": Entry(
        "model_loader:ModelLoaderPanel",
        "Model",
        "left",
        "Choose a network and images; see what the network is made of and pick a layer.",
    ),
    "neuron_grid": Entry(
        "neuron_grid:NeuronGridPanel",
        "Neurons",
        "centre",
        "Every unit of the layer as the image that it responds to most. Click one to inspect it.",
    ),
    "inspector": Entry(
        "inspector:InspectorPanel",
        "Inspector",
        "right",
        "One unit: feature visualizations, dataset examples by activation range, histogram, response to your own image.",
    ),
    "problems": Entry(
        "problems:ProblemsPanel",
        "Problems",
        "bottom",
        "The 18 open problems in image model interpretability: search, read, start one.",
    ),
    "jobs": Entry(
        "jobs:JobsPanel",
        "Jobs",
        "bottom",
        "What is being computed, how far it is, and what failed. Cancel or retry here.",
    ),
    "notes": Entry("notes:NotesPanel", "Notes", "bottom", "Your notes of this investigation; saved with the project."),
    "training": Entry(
        "training:TrainingPanel",
        "Training",
        "centre",
        "Train a network with a recipe and watch its curves; pause it, and go on with it after the window was closed or killed.",
        open=False,
    ),
    "generate": Entry(
        "generate:GeneratePanel",
        "Generate",
        "centre",
        "Draw images from prompts with the open diffusion network, and step through how each came to be.",
        open=False,
    ),
    "compare": Entry(
        "compare:ComparePanel",
        "Compare",
        "centre",
        "Up to six pinned units side by side on the same scales: different ones, or one in several networks or checkpoints.",
        open=False,
    ),
    "weights": Entry(
        "weights:WeightsPanel",
        "Weights",
        "centre",
        "How units are built from those of an earlier layer: the matrix of weights, and each unit's strongest inputs as kernels.",
    ),
    "motifs": Entry(
        "motifs:MotifsPanel",
        "Motifs",
        "centre",
        "Patterns of weights that return in the whole network, beside how many shuffled weights have. Open one as a circuit.",
        open=False,
    ),
    "families": Entry(
        "families:FamiliesPanel",
        "Families",
        "centre",
        "Units that are one another turned, mirrored, scaled or recoloured, in any layer, beside networks that learned nothing.",
        open=False,
    ),
    "circuit_graph": Entry(
        "circuit_graph:CircuitGraphPanel",
        "Circuit",
        "centre",
        "A circuit as a graph: units as pictures, edges with their weights; build it by clicking, measure it, save and export it.",
    ),
    "evidence": Entry(
        "evidence:EvidencePanel",
        "Evidence",
        "centre",
        "What is known of a unit as a detector: seven pieces of evidence beside their nulls, and a screen to label pictures blind.",
        open=False,
    ),
    "tuning": Entry(
        "tuning:TuningPanel",
        "Tuning",
        "centre",
        "What a unit does as a stimulus turns, bends and moves: drag it, see the radial tuning, rank the layer beside random weights.",
    ),
    "filter_editor": Entry(
        "filter_editor:FilterEditorPanel",
        "Filter editor",
        "centre",
        "A unit's kernel written by hand: paint it or choose a template, see at once what it does, and how much performance it recovers.",
    ),
    "polysemanticity": Entry(
        "polysemanticity:PolysemanticityPanel",
        "Mixtures",
        "centre",
        "Which units of a layer mix several things, and what each of these is made of; directions and autoencoder latents as units.",
        open=False,
    ),
    "patching_canvas": Entry(
        "patching_canvas:PatchingCanvasPanel",
        "Canvas",
        "centre",
        "Draw two images, clean and corrupt, and see while you draw what the network makes of each and which parts carry the difference.",
    ),
    "patching": Entry(
        "patching:PatchingPanel",
        "Patching",
        "centre",
        "Which parts of a network carry the difference between two images: layers, channels, positions, paths; beside unrelated images.",
        open=False,
    ),
    "scrubbing": Entry(
        "scrubbing:ScrubbingPanel",
        "Scrubbing",
        "centre",
        "What units are claimed to compute from what, as a tree; tested by resampling all that should not matter, beside rivals and nulls.",
        open=False,
    ),
    "phase_change": Entry(
        "phase_change:PhaseChangePanel",
        "Training time",
        "centre",
        "A network at every moment of its training: drag the slider and all panels follow; see whether units form abruptly or gradually.",
        open=False,
    ),
}
"""Panel id -> entry. The order gives the shortcuts Ctrl+1 to Ctrl+9, Ctrl+0, then the same with Ctrl+Alt (none to the rest), and the
order of the tabs."""
