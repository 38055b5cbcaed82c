"""`TracedModel`: an image network one can read, edit and differentiate at any layer."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from workbench.direction_set import DirectionSet
from workbench.input_error import InputError
from workbench.models.capture import capture
from workbench.models.device import Arithmetic
from workbench.models.diffusion import Sampling
from workbench.models.edits import Edits, with_edits
from workbench.models.further_input import FurtherInput, Tokenize
from workbench.models.graph import Cut, ModelGraph, Reduction
from workbench.models.known_circuit import KnownCircuit
from workbench.models.layer import Layer, Unit
from workbench.models.loading import twin_of, with_directions_of
from workbench.models.preprocessing import Preprocessing
from workbench.models.tensors import assign, tensors_of
from workbench.models.twin import IMAGES, dead_leaves, draw, match_scale, twin_hash
from workbench.task import Task


class TracedModel:
    """A network captured as a graph, with the names of its layers and classes, its preprocessing and where it came from.

    Attributes
    ----------
    graph
        The network itself (see `workbench.models.graph`).
    ref
        The reference it was loaded by.
    labels
        Class names in the order of the output, empty where unknown.
    held
        What the network reads beside the image, by name, one example each (``timestep``, ``encoder_hidden_states``): used wherever an image
        alone is given. Change it with `hold`.
    further
        The part of what is held that a user can choose, by the option of a reference it is chosen with; change it with `choose`.
    tokenize
        Turns texts into the tokens it reads, ``texts context``; None for networks that read no text.
    sampling
        How a diffusion network draws; None for all others.
    warnings
        What a user must know before believing a number, such as ``random weights``.
    circuit
        What is known to be true of it, for the networks of `workbench.models.planted`; None for all others.
    arithmetic
        The numbers that products of an analysis may be taken with: ``fp32`` unless chosen otherwise.
    directions
        Sets of directions whose directions are units of a layer of their own (`with_directions`).
    """

    def __init__(
        self,
        graph: ModelGraph,
        *,
        preprocessing: Preprocessing,
        labels: Sequence[str] = (),
        ref: str = "",
        name: str = "",
        architecture: str = "",
        licence: str = "",
        origin: str = "",
        warnings: Sequence[str] = (),
        circuit: KnownCircuit | None = None,
        weight_hash: str = "",
        parameter_count: int = 0,
        output_spec: Any = None,
        held: Mapping[str, Tensor] | None = None,
        further: Mapping[str, FurtherInput] | None = None,
        tokenize: Tokenize | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        self.graph = graph
        self.preprocessing = preprocessing
        self.labels = tuple(labels)
        self.ref, self.name, self.architecture = ref, name, architecture
        self.licence, self.origin = licence, origin
        self.warnings = tuple(warnings)
        self.circuit = circuit
        self.arithmetic: Arithmetic = "fp32"
        self.directions: tuple[DirectionSet, ...] = ()
        self._plain: TracedModel | None = None
        self._weights, self.parameter_count = weight_hash, parameter_count
        self._output_spec = output_spec
        self.held: dict[str, Tensor] = dict(held or {})
        self.further: dict[str, FurtherInput] = {}
        self.tokenize, self.sampling = tokenize, sampling
        for option, given in (further or {}).items():
            self.further[option] = given
            self.choose(option, given.value)

    @classmethod
    def from_module(
        cls,
        module: nn.Module,
        example_input: Tensor | tuple[Any, ...],
        labels: Sequence[str] | None = None,
        *,
        preprocessing: Preprocessing | None = None,
        ref: str = "",
        name: str | None = None,
        architecture: str = "",
        licence: str = "",
        origin: str = "",
        warnings: Sequence[str] = (),
        circuit: KnownCircuit | None = None,
        further: Mapping[str, FurtherInput] | None = None,
        tokenize: Tokenize | None = None,
        sampling: Sampling | None = None,
        task: Task | None = None,
    ) -> TracedModel:
        """Capture any module (it is put into eval mode).

        Parameters
        ----------
        example_input
            What the network reads, ``batch channel y x``; a batch of one is doubled. Its device and type become the model's. Where it reads
            more than an image, all of it in order; the first example of what comes after the image is then `held`.
        preprocessing
            How images become input; by default the example's size and the range [-1, 1].

        Raises
        ------
        workbench.models.nodes.CaptureError
            When the network cannot be captured as one graph.
        """
        inputs = example_input if isinstance(example_input, tuple) else (example_input,)
        inputs = tuple(
            value.expand(2, *value.shape[1:]).clone()
            if isinstance(value, Tensor) and value.dim() and value.shape[0] == 1
            else value
            for value in inputs
        )
        image = next((value for value in inputs if isinstance(value, Tensor) and value.dim() == 4), None)
        if preprocessing is None:
            size, channels = (
                ((int(image.shape[2]), int(image.shape[3])), int(image.shape[1])) if image is not None else ((1, 1), 3)
            )
            preprocessing = Preprocessing(size, (0.5,) * channels, (0.5,) * channels, channels)
        module.requires_grad_(False)
        captured = capture(module, inputs, task)
        state = module.state_dict()
        graph = ModelGraph(captured)
        names = [_input_name(graph.name(node)) for node in graph.inputs]
        return cls(
            graph,
            preprocessing=preprocessing,
            labels=labels or (),
            ref=ref or f"python:{type(module).__module__}:{type(module).__name__}",
            name=name or type(module).__name__,
            architecture=architecture or type(module).__name__,
            licence=licence,
            origin=origin,
            warnings=warnings,
            circuit=circuit,
            weight_hash=hash_weights(state),
            parameter_count=sum(parameter.numel() for parameter in module.parameters()),
            output_spec=captured.output_spec,
            held={name: value[:1] for name, value in zip(names[1:], pytree.tree_leaves(inputs)[1:], strict=True)},
            further=further,
            tokenize=tokenize,
            sampling=sampling,
        )

    def twin(self, seed: int, layers: Sequence[str] = ()) -> TracedModel:
        """Return the same graph with random weights at the same scale (see `workbench.models.twin`); this one stays as it is.

        A network that reads no images keeps the scale of a fresh one.

        Parameters
        ----------
        layers
            All that will be read of it: what lies behind them is not brought to scale, which takes most of the time. None: everything.

        Raises
        ------
        InputError
            When it has weights that cannot be drawn anew.
        """
        if self._plain is not None:
            plain = copy.copy(self._plain)
            plain.held, plain.further = dict(self.held), dict(self.further)
            twin = plain.twin(seed)
            for directions in self.directions:
                twin = twin.with_directions(directions)
            twin.arithmetic = self.arithmetic
            return twin
        capture = self.graph.capture
        root = draw(capture, seed)
        if self.sees:
            images = torch.from_numpy(dead_leaves(IMAGES)).permute(0, 3, 1, 2) / 255
            if self.preprocessing.channels not in (1, 3):
                images = images.mean(1, keepdim=True)
            further = (value.expand(IMAGES, *value.shape[1:]) for value in self.held.values())
            piece = self.forward_to(layers).module.graph if layers else None
            match_scale(capture.root, root, capture.graph, [self.preprocess(images), *further], piece)
        twin = TracedModel(
            ModelGraph(replace(capture, root=root)),
            preprocessing=self.preprocessing,
            labels=self.labels,
            ref=twin_of(self.ref, seed),
            name=f"{self.name}, random-weight twin {seed}",
            architecture=self.architecture,
            licence=self.licence,
            origin=f"{self.ref} with random weights at the same scale",
            warnings=(f"random-weight twin (seed {seed}): this network has learned nothing", *self.warnings),
            weight_hash=twin_hash(self._weights, seed),
            parameter_count=self.parameter_count,
            output_spec=self._output_spec,
            held=self.held,
            further=self.further,
            tokenize=self.tokenize,
            sampling=self.sampling,
        )
        twin.arithmetic = self.arithmetic
        return twin

    def with_tensors(self, replaced: Mapping[str, Tensor], about: str) -> TracedModel:
        """Return the same network with other values for some of its weights; this one stays as it is, and the others are shared.

        Parameters
        ----------
        replaced
            By the name under which the network keeps each, of the same shape.
        about
            What was done, for name and origin: ``2 kernels written by hand``.

        Raises
        ------
        InputError
            When it has no weight of that name, or one of another shape.
        """
        known = dict(tensors_of(self.graph.capture))
        for name, value in replaced.items():
            if name not in known or known[name].shape != value.shape:
                has = f"has the shape {tuple(known[name].shape)}, not {tuple(value.shape)}" if name in known else "is not there"
                raise InputError(f"the weight {name} of {self.name} {has}")
        root = nn.Module()
        for name, value in known.items():
            new = replaced[name].to(value.device, value.dtype) if name in replaced else value
            assign(root, name, nn.Parameter(new, requires_grad=False) if isinstance(value, nn.Parameter) and name in replaced else new)
        other = copy.copy(self)
        other.graph = ModelGraph(replace(self.graph.capture, root=root))
        other.held, other.further = dict(self.held), dict(self.further)
        other.name, other.origin = f"{self.name}, {about}", f"{self.ref} with {about}"
        other.circuit = None
        other._weights = hash_weights(replaced, self._weights)
        if self._plain is not None:  # the directions' own weights are not in it
            inside = dict(tensors_of(self._plain.graph.capture))
            other._plain = self._plain.with_tensors({name: value for name, value in replaced.items() if name in inside}, about)
        return other

    def at_other_weights(self, module: nn.Module, *, ref: str, name: str, origin: str) -> TracedModel:
        """Return the network of another checkpoint, without capturing it: the same graph reads the weights of `module`.

        Parameters
        ----------
        module
            Of the same architecture and on the same device as the captured one, in eval mode; it becomes the network's own.

        Raises
        ------
        InputError
            When it lacks a weight that the graph reads.
        """
        tensors: dict[str, Tensor] = {
            **dict(module.named_buffers(remove_duplicate=False)),
            **dict(module.named_parameters(remove_duplicate=False)),
        }
        capture, root = self.graph.capture, nn.Module()
        for known, value in tensors_of(capture):
            if isinstance(value, nn.Parameter) and known not in tensors:
                raise InputError(f"{type(module).__name__} has no parameter {known}")
            assign(root, known, tensors.get(known, value))
        other = copy.copy(self)
        other.graph = ModelGraph(replace(capture, module=module, root=root))
        other.ref, other.name, other.origin = ref, name, origin
        other.held, other.further = dict(self.held), dict(self.further)
        other._weights = hash_weights(module.state_dict())
        return other

    def with_directions(self, directions: DirectionSet) -> TracedModel:
        """Return the same network with a layer more, whose units are directions of another (see `workbench.models.directions`).

        Every layer and the output are what they were, bit for bit, until somebody edits the new one.

        Raises
        ------
        InputError
            When the directions do not fit the network.
        """
        from workbench.models.directions import insert

        made = copy.copy(self)
        made.graph = ModelGraph(insert(self.graph, directions))
        made.ref = with_directions_of(self.ref, directions.name)
        made.held, made.further = dict(self.held), dict(self.further)
        made.directions = (*self.directions, directions)
        made._plain = self._plain or self
        made._weights = hashlib.sha256(f"{self._weights} directions {directions.digest}".encode()).hexdigest()
        trained_on = directions.provenance.get("weights")
        if trained_on and trained_on != made._plain.weight_hash:
            made.warnings = (*self.warnings, f"the directions {directions.name} were made with other weights than these")
        return made

    # --- what it is ------------------------------------------------------------------------------------------------------------

    @property
    def layers(self) -> Mapping[str, Layer]:
        """Layers by name, in the order they are computed."""
        return self.graph.layers

    def layer(self, name: str) -> Layer:
        """Return a layer by any of its names; ValueError suggests the nearest where there is none."""
        return self.graph.layer(name)

    def layer_of(self, unit: Unit) -> Layer:
        """Return a unit's layer.

        Raises
        ------
        InputError
            When there is no such layer, or it has fewer units.
        """
        layer = self.layer(unit.layer)
        if not 0 <= unit.index < layer.units:
            raise InputError(f"{unit} does not exist; {unit.layer} has units 0 to {layer.units - 1}")
        return layer

    @property
    def weight_hash(self) -> str:
        """SHA-256 over names, shapes and bytes of all parameters and buffers, and of what is held; 64 hexadecimal digits."""
        return hash_weights(self.held, self._weights) if self.held else self._weights

    def hold(self, name: str, value: Tensor) -> None:
        """Choose what the network reads beside the image, one example: another timestep, another text.

        Raises
        ------
        InputError
            When the network has no such input, or it has another shape.
        """
        if name not in self.held:
            raise InputError(
                f"{self.name} has no further input {name!r}; it has {', '.join(self.held) or 'none beside the image'}"
            )
        wanted = self.held[name]
        if value.shape != wanted.shape:
            raise InputError(f"{name} of {self.name} has the shape {tuple(wanted.shape)}, not {tuple(value.shape)}")
        self.held[name] = value.to(wanted.device, wanted.dtype)

    def choose(self, option: str, text: str) -> None:
        """Choose what the network reads beside the image in a user's words: ``choose("prompt", "a turtle, noto style")``.

        Raises
        ------
        InputError
            When the network has no such option, or cannot read the text.
        """
        if option not in self.further:
            raise InputError(f"{self.name} reads no {option}" + (f"; it reads {', '.join(self.further)}" if self.further else ""))
        given = self.further[option]
        self.hold(given.name, given.read(text))
        self.further[option] = replace(given, value=text)

    def to(self, device: torch.device | str) -> TracedModel:
        """Move the network and what it holds to a device, in place; return it."""
        self.graph.to(torch.device(device))
        if self._plain is not None:  # it shares the weights
            self._plain.to(device)
        self.held = {name: value.to(device) for name, value in self.held.items()}
        return self

    def top_classes(self, probabilities: np.ndarray) -> tuple[tuple[str, float], ...]:
        """Return the five likeliest classes with their probabilities; a class without a label is called by its number."""
        best = np.argsort(-probabilities, kind="stable")[:5]
        known = len(self.labels) == len(probabilities)
        return tuple((self.labels[i] if known else f"class {i}", float(probabilities[i])) for i in best)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next((p.device for p in self.graph.root.parameters()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """Number type of the weights."""
        return next((p.dtype for p in self.graph.root.parameters() if p.is_floating_point()), torch.float32)

    @property
    def sees(self) -> bool:
        """Whether it reads images; a language model does not."""
        value = self.graph.inputs[0].meta["val"]
        return bool(value.dim() == 4 and value.is_floating_point())

    # --- what it reads ---------------------------------------------------------------------------------------------------------

    def normalise(self, images: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch channel2 y x"]:
        """Turn images in [0, 1] into network input (see `Preprocessing.normalise`); differentiable.

        Raises
        ------
        InputError
            When the network reads text, or the images have other channels than it can be given.
        """
        if not self.sees:
            raise InputError(f"{self.name} reads text, not images; open a network that sees")
        return self.preprocessing.normalise(images)

    def preprocess(self, images: np.ndarray | Tensor) -> Float[Tensor, "batch channel y x"]:
        """Turn images of any size into network input.

        Parameters
        ----------
        images
            uint8 ``batch y x channel`` (numpy or tensor), or float in [0, 1] ``batch channel y x``.
        """
        fitted = self.preprocessing.fit(torch.as_tensor(images).to(self.device))
        return self.normalise(fitted).to(self.dtype).contiguous(memory_format=torch.channels_last)

    def pixels(self, shown: Float[Tensor, "batch channel y x"]) -> np.ndarray:
        """Turn the first image of a network input back into pixels, uint8 ``y x 3``."""
        return self.preprocessing.pixels(shown)

    # --- running it ------------------------------------------------------------------------------------------------------------

    def __call__(self, *inputs: Tensor) -> Any:
        """Run the whole network; the output is packed as the network packs it."""
        found = [node for node in self.graph.outputs if node is not None]
        named = [node for node in found if node in self.graph.capture.names]
        values = dict(zip(named, self._cut_from_input([self.graph.name(node) for node in named])(*inputs), strict=True))
        # A weight that is returned as it is (SigLIP's bias) is no layer.
        values |= {node: attrgetter(str(node.target))(self.graph.root) for node in found if node not in values}
        flat = [values[node] if node is not None else None for node in self.graph.outputs]
        return pytree.tree_unflatten(flat, self._output_spec) if self._output_spec is not None else flat[0]

    def forward_to(self, layers: Sequence[str], reductions: Mapping[str, Reduction] | None = None) -> Cut:
        """Return the network truncated after `layers`; call it on the input for their activations, in the order given.

        A reduction given for a layer runs right after it and its result stands in the activation's place.
        """
        return self._cut_from_input(layers, reductions)

    def _cut_from_input(self, layers: Sequence[str], reductions: Mapping[str, Reduction] | None = None) -> Cut:
        sources = [self.graph.name(node) for node in self.graph.inputs]
        cut = self.graph.cut(sources, layers, reductions=reductions)
        held = {name: self.held[_input_name(name)] for name in sources if _input_name(name) in self.held}
        return replace(cut, held=held) if held else cut

    def inputs(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return all that the network reads, in order: `x`, then what is held, expanded to its batch."""
        return x, *(value.expand(len(x), *value.shape[1:]) for value in self.held.values())

    def activations(self, x: Tensor | tuple[Tensor, ...], layers: Sequence[str]) -> dict[str, Tensor]:
        """Return the activation of each layer on the network input `x`, bit-identical to what a cloned forward hook gives.

        Raises
        ------
        ValueError
            When a layer is unknown.
        """
        inputs = x if isinstance(x, tuple) else (x,)
        return dict(zip(layers, self.forward_to(layers)(*inputs), strict=True))

    def edited(
        self,
        x: Tensor | tuple[Tensor, ...],
        edits: Edits | Sequence[Edits],
        *,
        target: str | None = None,
        max_examples: int = 256,
    ) -> Tensor:
        """Return the output when some layers are edited; only what lies downstream of the edits is computed again.

        Parameters
        ----------
        x
            Network input, a batch of B.
        edits
            One edit per layer, or K such mappings, which become rows of one batch. An edit is the new activation (it is expanded to
            the clean one's shape) or a function of the activation at that place, earlier edits of the same row included. An
            empty mapping is the clean run: put references into the same batch, since only within one batch are equal
            computations equal to the last bit.
        target
            Layer to read instead of the network's first output.
        max_examples
            Largest batch (K x B is cut into pieces of whole rows); rows are padded to a multiple of 8 examples.

        Returns
        -------
        Tensor
            ``B ...`` for one mapping, ``K B ...`` for several.

        Raises
        ------
        ValueError
            When a layer is unknown, or an activation does not fit.
        """
        rows = [edits] if isinstance(edits, Mapping) else list(edits)
        if not rows:
            raise InputError("no edits given; an empty mapping {} is the clean run")
        inputs = x if isinstance(x, tuple) else (x,)
        found = with_edits(
            self.graph,
            rows,
            target or self.graph.output,
            lambda layers: self.forward_to(layers)(*inputs),
            batch=int(inputs[0].shape[0]),
            max_examples=max_examples,
        )
        return found[0] if isinstance(edits, Mapping) else found


def _input_name(layer: str) -> str:
    """Return what the network calls the input that is the layer ``input:NAME``."""
    return layer.removeprefix("input:")


def hash_weights(state: Mapping[str, Any], before: str = "") -> str:
    """Return the SHA-256 over names, shapes, types and bytes of a state dictionary's tensors, as 64 hexadecimal digits.

    Parameters
    ----------
    before
        A digest that this one goes on from.
    """
    digest = hashlib.sha256(before.encode())
    for name in sorted(state):
        tensor = state[name]
        if isinstance(tensor, Tensor):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
