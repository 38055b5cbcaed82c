"""``transformers:NAME``: causal and masked language models, from a folder or the hub (``gpt2``, ``owner/name``)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import torch

from workbench.models.loading import LoadError, Reference, Source, SourceEntry, register_source
from workbench.models.sources.language_model import NextToken
from workbench.models.sources.model_folder import ModelFolder, Padded, filled, quiet, read_tokenizer, shown
from workbench.models.sources.tracing import brief, trace
from workbench.models.traced_model import TracedModel
from workbench.task import Task

CONTEXT = 64
"""Tokens a text has, where the network allows it and the reference does not say."""
EXAMPLES = ["The cat sat on the mat and looked out of the window.", "Once upon a time"]


@register_source("transformers")
class Transformers(Source):
    """Language models in the layout of the transformers library."""

    options: ClassVar[dict[str, str]] = {
        "context": f"tokens a text has, longer ones are cut; {CONTEXT} by default, or as many as the network can read"
    }

    def entries(self) -> Iterable[SourceEntry]:
        """List nothing: it takes a path or the name of a repository."""
        return ()

    def load(self, reference: Reference, *, allow_code: bool, task: Task) -> TracedModel:
        """Build the language model with the weights and the tokenizer of its folder."""
        import transformers

        folder = ModelFolder(reference.name, task)
        config, kind = _kind(folder)
        tokenizer = read_tokenizer(folder)
        sizes = config.get_text_config()
        most = min(int(getattr(sizes, "max_position_embeddings", 0) or CONTEXT), tokenizer.model_max_length)
        context = reference.whole("context", min(CONTEXT, most), least=1) or CONTEXT
        if context > most:
            raise LoadError(f"context={context} in {reference}: {reference.name} reads {most} tokens at most")
        padding = _padding(tokenizer, sizes.vocab_size)
        tokenize = Padded(tokenizer, context, padding)
        weights = folder.weights("", "model")
        task.step(0, 0, note=f"reading {', '.join(weights)}")
        module = filled(
            kind.from_pretrained,
            reference.name,
            {"config.json": folder.find("config.json"), **weights},
            dtype=torch.float32,
            attn_implementation="sdpa" if kind._supports_sdpa else "eager",
        )
        return trace(
            NextToken(module, padding if "MaskedLM" in kind.__name__ else None),
            None,
            example=tokenize(EXAMPLES),
            ref=str(reference),
            name=reference.name,
            architecture=kind.__name__,
            licence="unknown",
            origin=f"{reference.name} (transformers {transformers.__version__})",
            tokenize=tokenize,
            task=task,
        )


def _kind(folder: ModelFolder) -> tuple[Any, Any]:
    """Return the settings, and the class of the language model they are for."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING as CAUSAL
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING as MASKED

    written = folder.settings("config.json")
    if "quantization_config" in written:
        raise LoadError(f"the weights of {folder.name} are quantised; give a model in full precision")
    try:
        with shown({"config.json": folder.find("config.json")}) as place, quiet():
            config: Any = AutoConfig.from_pretrained(place, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        raise LoadError(f"the settings of {folder.name} are of no network of transformers: {brief(error)}") from error
    named = " ".join(written.get("architectures") or ())
    mappings = (CAUSAL, MASKED) if "CausalLM" in named or "LMHead" in named else (MASKED, CAUSAL)
    kind = next((mapping[type(config)] for mapping in mappings if type(config) in mapping), None)
    if kind is None or config.is_encoder_decoder:
        raise LoadError(
            f"{folder.name} is a {named or config.model_type}; only causal and masked language models are opened"
        )
    return config, kind


def _padding(tokenizer: Any, vocabulary: int) -> int:
    """Return the token that fills up short texts; which one does not matter where none is meant for it, since it comes after them."""
    meant = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id)
    return next((token for token in meant if token is not None and token < vocabulary), 0)
