"""open_clip, diffusers and transformers: folders and the hub's cache, the libraries' own outputs, and what is refused."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import diffusers
import open_clip
import pytest
import torch
import transformers
from huggingface_hub import constants
from open_clip import factory, pretrained
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from workbench.analyses.generation import Generation
from workbench.input_error import InputError
from workbench.models.loading import LoadError, Reference, list_models, load
from workbench.models.sources.diffusers import schedule_of
from workbench.models.sources.model_folder import ModelFolder
from workbench.task import Task

LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"the a cat dog sat ran on mat and looked".split()]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no way out of the machine."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path


def into_hub(caches: Path, repository: str, folder: Path) -> Path:
    """Lay a folder down as the hub library does: files of a commit, and the branch that points to it."""
    place = caches / "hub" / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(COMMIT)
    shutil.copytree(folder, place / "snapshots" / COMMIT)
    return place / "snapshots" / COMMIT


def change(path: Path, **settings: Any) -> None:
    """Overwrite settings of a JSON file; None takes one out."""
    found = json.loads(path.read_text()) | settings
    path.write_text(json.dumps({key: value for key, value in found.items() if value is not None}))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def without(path: Path, tensor: str) -> None:
    state = load_file(path)
    del state[tensor]
    save_file(state, path, metadata={"format": "pt"})


def write_words(folder: Path, **special: str) -> None:
    """Write a tokenizer of ten words, which puts a text between [CLS] and [SEP] where it knows them."""
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    if "cls_token" in special:
        words.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", **special).save_pretrained(folder)


# --- language models -----------------------------------------------------------------------------------------------------------

SIZES = {"vocab_size": len(WORDS), "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
ENDS = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": None}
LANGUAGE_MODELS: dict[str, Callable[[], Any]] = {
    "gpt2": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=len(WORDS), n_positions=32, n_embd=16, n_layer=2, n_head=2, **ENDS)
    ),
    "llama": lambda: transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**SIZES, num_key_value_heads=1, max_position_embeddings=32, **ENDS)
    ),
    "bert": lambda: transformers.BertForMaskedLM(transformers.BertConfig(**SIZES, max_position_embeddings=32)),
}
LAYERS = {"gpt2": "model.transformer.h.0", "llama": "model.model.layers.0", "bert": "model.bert.encoder.layer.0"}


@pytest.fixture(scope="module")
def language_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("language")
    for name, make in LANGUAGE_MODELS.items():
        torch.manual_seed(0)
        network = make()
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        network.save_pretrained(folder / name)
        special = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"} if name == "bert" else {"eos_token": "[SEP]"}
        write_words(folder / name, **special)
    return {name: folder / name for name in LANGUAGE_MODELS}


@pytest.mark.parametrize("name", list(LANGUAGE_MODELS))
def test_a_language_model_says_what_its_library_says(name: str, language_models: dict[str, Path]) -> None:
    model = load(f"transformers:{language_models[name]}?context=12")
    kind = transformers.AutoModelForMaskedLM if name == "bert" else transformers.AutoModelForCausalLM
    network = kind.from_pretrained(language_models[name]).eval()
    assert model.tokenize is not None and not model.held
    for text in ("a cat sat on the mat", "the dog"):
        alone = transformers.AutoTokenizer.from_pretrained(language_models[name])(text, return_tensors="pt").input_ids
        tokens = model.tokenize([text, "the cat and a dog ran on and on and on and on and on", ""])
        assert tokens.shape == (3, 12) and torch.equal(tokens[:1, : alone.shape[1]], alone)
        with torch.no_grad():
            theirs = network(input_ids=alone).logits
        assert torch.allclose(model(tokens)[:1, : alone.shape[1]], theirs, atol=1e-5), "padding is read"
    assert (model.architecture, model.warnings) == (type(network).__name__, ())
    layer = LAYERS[name]
    inside = model.activations(tokens, [layer])[layer]
    rows = model.edited(tokens, [{}, {layer: inside}, {layer: inside.flip(0)}])
    assert torch.equal(rows[0], rows[1]) and torch.allclose(rows[0], model(tokens), atol=1e-5)
    assert not torch.allclose(rows[2], rows[0], atol=1e-2)


def test_a_language_model_in_parts_comes_from_the_hub_cache(caches: Path, language_models: dict[str, Path], tmp_path: Path) -> None:
    network = transformers.AutoModelForCausalLM.from_pretrained(language_models["llama"]).eval()
    network.save_pretrained(tmp_path / "parts", max_shard_size="6KB")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 1
    write_words(tmp_path / "parts", eos_token="[SEP]")
    into_hub(caches, "tiny/llama", tmp_path / "parts")
    model = load("transformers:tiny/llama")
    assert model.tokenize is not None
    tokens = model.tokenize(["the cat sat"])
    assert tokens.shape == (1, 32), "as many as it can read, where that is fewer than 64"
    with torch.no_grad():
        assert torch.allclose(model(tokens), network(input_ids=tokens).logits, atol=1e-5)
    assert model.origin == f"tiny/llama (transformers {transformers.__version__})"


def test_a_language_model_is_downloaded_file_by_file(
    caches: Path, language_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            path = language_models["bert"] / Path(self.path).name
            asked.append(path.name)  # before the answer goes out: the next question may come at once, in another thread
            self.send_response(200 if path.is_file() else 404)
            for name, value in (("ETag", f'"{path.name}"'), ("X-Repo-Commit", COMMIT)):
                self.send_header(name, value)
            self.send_header("Content-Length", str(path.stat().st_size if path.is_file() else 0))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write((language_models["bert"] / Path(self.path).name).read_bytes())

        def log_message(self, *_: object) -> None:
            return

    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    template = f"http://127.0.0.1:{server.server_port}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    folder = ModelFolder("tiny/bert", Task())
    try:
        folder.settings("config.json")
        vocabulary, weights = folder.vocabulary(), folder.weights("", "model")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert set(vocabulary) == {"tokenizer.json", "tokenizer_config.json", "config.json"} and set(weights) == {"model.safetensors"}
    assert asked.index("merges.txt") < asked.index("tokenizer.json"), "what there may be is asked for before what there has to be"
    assert folder.vocabulary() == vocabulary and folder.weights("", "model") == weights, "at hand from now on"
    assert load_file(weights["model.safetensors"]).keys() == load_file(language_models["bert"] / "model.safetensors").keys()


def only_pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def index_outside(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../secret.safetensors"}}))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: (f / "config.json").unlink(), "has no config.json; it is not a folder of such a model"),
        (lambda f: (f / "config.json").write_text("{"), r"config.json cannot be read: JSONDecodeError.*download it again"),
        (lambda f: cut_short(f / "model.safetensors"), r"model.safetensors is cut short"),
        (lambda f: without(f / "model.safetensors", "transformer.h.1.mlp.c_fc.weight"), "lacks weights: transformer.h.1.mlp.c_fc.weight"),
        (lambda f: change(f / "config.json", n_embd=32), "could not be made: .*mismatch"),
        (only_pickled, "has no model.safetensors; only safetensors are opened"),
        (index_outside, "does not say in which files the weights are"),
        (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer.json or vocab.json"),
        (lambda f: (f / "tokenizer.json").write_text("{}"), "the tokenizer in .* could not be made"),
        (lambda f: change(f / "config.json", quantization_config={"bits": 4}), "are quantised"),
        (
            lambda f: change(f / "config.json", model_type="own", auto_map={"AutoConfig": "code.Config"}),
            "are of no network of transformers",
        ),
        (
            lambda f: change(f / "config.json", model_type="t5", architectures=["T5ForConditionalGeneration"]),
            "is a T5ForConditionalGeneration; only causal and masked language models",
        ),
    ],
)
def test_a_damaged_language_model_is_refused_in_one_line(
    damage: Callable[[Path], object], said: str, language_models: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "gpt2"
    shutil.copytree(language_models["gpt2"], folder)
    (folder / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    damage(folder)
    with pytest.raises(LoadError, match=said) as refused:
        load(f"transformers:{folder}")
    assert "\n" not in str(refused.value) and not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("transformers:/no/such/folder", "there is no folder /no/such/folder"),
        ("transformers:tiny/llama", r"config.json is not on this machine \(looked in .*models--tiny--llama\).*give a folder"),
        ("transformers:gpt2?prompt=cat", "no option 'prompt' .* its options are: context"),
        ("diffusers:tiny/pipe", r"model_index.json is not on this machine .* from http://127.0.0.1:9/tiny/pipe/.*Connection refused"),
        ("open_clip:RN50:openai", r"open_clip_model.safetensors is not on this machine .*or give open_clip:RN50 for random weights"),
        ("open_clip:ViT-B-32:opnai", "no weights named 'opnai' for ViT-B-32; did you mean openai"),
        ("open_clip:ViT-B-33", "no network named 'ViT-B-33'; did you mean ViT-B-32"),
        ("open_clip:coca_ViT-B-32", "is a CoCa, which writes text as well"),
        ("open_clip:hf-hub:tiny/clip", "open_clip_config.json is not on this machine"),
        ("open_clip:ViT-B-16-SigLIP:webli", r"open_clip_model.safetensors is not on this machine"),
        ("open_clip:roberta-ViT-B-32", r"tokenizer_config.json is not on this machine \(looked in .*models--roberta-base\)"),
    ],
)
def test_what_is_not_there_is_told_in_one_line(ref: str, said: str) -> None:
    with pytest.raises(LoadError, match=said) as refused:
        load(ref)
    assert "\n" not in str(refused.value)


def test_context_is_no_longer_than_the_network_reads(language_models: dict[str, Path]) -> None:
    with pytest.raises(LoadError, match=r"context=33 .* reads 32 tokens at most"):
        load(f"transformers:{language_models['gpt2']}?context=33")


# --- diffusion pipelines -------------------------------------------------------------------------------------------------------


def write_letters(folder: Path) -> None:
    """Write CLIP's kind of tokenizer, of letters and two words, in the files of the first pipelines."""
    folder.mkdir()
    vocabulary = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "ca", "cat</w>", "do", "dog</w>", "[start]", "[end]"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\nc a\nca t</w>\nd o\ndo g</w>\n")
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "bos_token": "[start]"}
    (folder / "tokenizer_config.json").write_text(
        json.dumps(settings | dict.fromkeys(("eos_token", "unk_token", "pad_token"), "[end]"))
    )


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A latent pipeline that reads text, and one that denoises images."""
    folder = tmp_path_factory.mktemp("pipelines")
    torch.manual_seed(0)
    text = folder / "text"
    diffusers.UNet2DConditionModel(
        sample_size=8,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=4,
    ).save_pretrained(text / "unet")
    diffusers.AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
    ).save_pretrained(text / "vae")
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    reads = transformers.CLIPTextConfig(
        vocab_size=58, max_position_embeddings=12, bos_token_id=56, eos_token_id=57, pad_token_id=57, **sizes
    )
    transformers.CLIPTextModel(reads).save_pretrained(text / "text_encoder")
    write_letters(text / "tokenizer")
    diffusers.PNDMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, steps_offset=1, skip_prk_steps=True
    ).save_pretrained(text / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "PNDMScheduler"],
        "safety_checker": [None, None],
    }
    (text / "model_index.json").write_text(json.dumps(index))
    plain = diffusers.UNet2DModel(
        sample_size=16,
        layers_per_block=1,
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        attention_head_dim=4,
    )
    diffusers.DDPMPipeline(plain, diffusers.DDPMScheduler(beta_schedule="sigmoid")).save_pretrained(folder / "plain")
    return {"text": text, "plain": folder / "plain"}


def noisy(pipeline: Path, images: torch.Tensor, noise: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    """Mix by the pipeline's own scheduler."""
    settings = json.loads((pipeline / "scheduler/scheduler_config.json").read_text())
    own = getattr(diffusers, settings["_class_name"]).from_pretrained(pipeline / "scheduler")
    mixed: torch.Tensor = own.add_noise(images, noise, timestep)
    return mixed


def test_a_step_of_a_latent_pipeline_is_what_its_library_computes(pipelines: dict[str, Path]) -> None:
    folder = pipelines["text"]
    model = load(f"diffusers:{folder}?prompt=cat&timestep=300&noise=5")
    unet = diffusers.UNet2DConditionModel.from_pretrained(folder / "unet").eval()
    vae = diffusers.AutoencoderKL.from_pretrained(folder / "vae").eval()
    text_encoder = transformers.CLIPTextModel.from_pretrained(folder / "text_encoder").eval()
    tokens = transformers.AutoTokenizer.from_pretrained(folder / "tokenizer")(
        ["cat"], padding="max_length", max_length=12, return_tensors="pt"
    ).input_ids
    assert torch.equal(model.held["text"], tokens) and model.preprocessing.size == (16, 16)
    noise = model.held["noise"]
    assert torch.equal(noise, torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5)))
    for batch in (3, 65):  # diffusers' upsampler takes another way from 64 examples on
        images, timestep = torch.rand(batch, 3, 16, 16) * 2 - 1, torch.full((batch,), 300)
        with torch.no_grad():
            latents = vae.encode(images).latent_dist.mean * vae.config.scaling_factor
            mixed = noisy(folder, latents, noise.expand(batch, -1, -1, -1), timestep)
            read = text_encoder(input_ids=tokens).last_hidden_state.expand(batch, -1, -1)
            theirs = unet(mixed, timestep, read).sample
        assert torch.allclose(model(images), theirs, atol=1e-5)
    shown, told = model.activations(images, ["noisy", "text_encoder"]).values()
    assert torch.allclose(shown, mixed, atol=1e-5)
    behind = model.graph.cut(["noisy", "input:timestep", "text_encoder"], [model.graph.output])
    assert torch.allclose(behind(shown, timestep, told)[0], theirs, atol=1e-5)
    assert model.sampling is not None and model.sampling.shape == (4, 8, 8)
    with torch.no_grad():
        decoded = vae.decode(latents[:2] / vae.config.scaling_factor).sample
        assert torch.allclose(model.sampling.decode(latents[:2]), decoded, atol=1e-5)
    assert not model.sampling.scheduler().config.clip_sample, "latents have no bounds"
    with pytest.raises(InputError, match=r"the prompt '(cat )*dog' has 13 tokens, .* reads 12 at most"):
        Generation(prompts=("cat " * 10 + "dog",), images=1, steps=1).run(model)
    assert Generation(prompts=("cat " * 9 + "dog",), images=1, steps=1).run(model).summary["seeds"] == [0]
    for option, value in (("prompt", "dog"), ("timestep", "700"), ("noise", "6")):
        before = model(images[:1])
        model.choose(option, value)
        assert not torch.allclose(model(images[:1]), before, atol=1e-6), option


def test_a_pipeline_on_images_in_half_precision_comes_from_the_hub_cache(caches: Path, pipelines: dict[str, Path]) -> None:
    """The first pipelines on images have the UNet's files beside the index."""
    place = into_hub(caches, "tiny/plain", pipelines["plain"])
    half = {name: tensor.half() for name, tensor in load_file(place / "unet/diffusion_pytorch_model.safetensors").items()}
    save_file(half, place / "diffusion_pytorch_model.fp16.safetensors", metadata={"format": "pt"})
    (place / "unet/config.json").rename(place / "config.json")
    (place / "scheduler/scheduler_config.json").rename(place / "scheduler_config.json")
    shutil.rmtree(place / "unet")
    model = load("diffusers:tiny/plain?img_size=8")
    assert model.dtype == torch.float32 and model.preprocessing.size == (8, 8)
    assert list(model.further) == ["timestep", "noise"] and model.tokenize is None
    unet = diffusers.UNet2DModel.from_pretrained(pipelines["plain"] / "unet").half().float().eval()
    for batch in (3, 65):
        images, timestep = torch.rand(batch, 3, 8, 8) * 2 - 1, torch.full((batch,), 400)
        with torch.no_grad():
            mixed = noisy(pipelines["plain"], images, model.held["noise"].expand(batch, -1, -1, -1), timestep)
            assert torch.allclose(model(images), unet(mixed, timestep).sample, atol=1e-5)


def test_a_scheduler_becomes_one_with_the_same_noise_levels() -> None:
    for own in (
        diffusers.DDPMScheduler(beta_schedule="sigmoid", num_train_timesteps=50),
        diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="sample"),
        diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear", prediction_type="v_prediction"),
        diffusers.DDIMScheduler(rescale_betas_zero_snr=True, timestep_spacing="trailing", clip_sample=False),
        diffusers.PNDMScheduler(trained_betas=[0.1, 0.2, 0.3]),
    ):
        schedule = schedule_of(dict(own.config) | {"_class_name": type(own).__name__}, latent=False)
        made = diffusers.DDIMScheduler(**schedule)
        assert torch.allclose(made.alphas_cumprod, own.alphas_cumprod, atol=1e-6)
        assert made.config.prediction_type == own.config.prediction_type
        assert made.config.clip_sample == own.config.get("clip_sample", False)
        assert made.config.num_train_timesteps == len(own.alphas_cumprod)


def to_index(**parts: object) -> Callable[[Path], None]:
    return lambda folder: change(folder / "model_index.json", **parts)


def to_unet(**settings: object) -> Callable[[Path], None]:
    return lambda folder: change(folder / "unet/config.json", **settings)


def to_scheduler(**settings: object) -> Callable[[Path], None]:
    return lambda folder: change(folder / "scheduler/scheduler_config.json", **settings)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (to_index(text_encoder_2=["transformers", "CLIPTextModelWithProjection"]), "has a second text encoder, as in SDXL"),
        (to_index(unet=None, transformer=["diffusers", "FluxTransformer2DModel"]), "has a transformer in place of the UNet"),
        (to_index(unet=None), "has no UNet"),
        (to_index(_class_name=["pipeline", "Mine"]), "needs pipeline code of its own, which is not run"),
        (to_index(_class_name="MyPipeline"), "needs pipeline code of its own, which is not run"),
        (to_index(unet=["my_unet", "UNet2DConditionModel"]), "the unet of .* is a my_unet.UNet2DConditionModel"),
        (to_index(text_encoder=["transformers", "T5EncoderModel"]), "the text_encoder of .* is a transformers.T5EncoderModel"),
        (to_index(text_encoder=[None, None]), "has no text_encoder for its UNet2DConditionModel"),
        (to_index(tokenizer=None), "has no tokenizer for its UNet2DConditionModel"),
        (to_unet(addition_embed_type="text_time"), r"reads sizes or a pooled text .*\(addition_embed_type\)"),
        (to_unet(num_class_embeds=10), r"reads a class \(num_class_embeds\)"),
        (to_unet(sample_size=None), r"add \?img_size=PIXELS"),
        (to_unet(block_out_channels=[8, 24]), "the unet of .* could not be made"),
        (to_index(vae=None), "has no vae for the 4 channels of its UNet"),
        (to_unet(in_channels=9), "turns 9 channels into 4, its images have 4; networks that fill in"),
        (to_scheduler(_class_name="FlowMatchEulerDiscreteScheduler"), "has no discrete noise levels"),
        (to_scheduler(_class_name="MyScheduler"), "its scheduler 'MyScheduler' is none of diffusers'"),
        (to_scheduler(prediction_type="flow"), "predicts flow|could not be made"),
        (lambda f: shutil.rmtree(f / "scheduler"), "has no scheduler/scheduler_config.json"),
        (lambda f: shutil.rmtree(f / "vae"), "has no vae/config.json"),
        (lambda f: shutil.rmtree(f / "tokenizer"), "has no tokenizer/tokenizer.json"),
        (lambda f: (f / "text_encoder/model.safetensors").unlink(), "has no text_encoder/model.safetensors; only safetensors"),
        (lambda f: cut_short(f / "unet/diffusion_pytorch_model.safetensors"), "diffusion_pytorch_model.safetensors is cut short"),
        (
            lambda f: without(f / "vae/diffusion_pytorch_model.safetensors", "quant_conv.bias"),
            "the vae of .* lacks weights: quant_conv.bias",
        ),
    ],
)
def test_a_pipeline_that_is_damaged_or_another_is_refused_in_one_line(
    damage: Callable[[Path], object], said: str, pipelines: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "pipe"
    shutil.copytree(pipelines["text"], folder)
    damage(folder)
    with pytest.raises(LoadError, match=said) as refused:
        load(f"diffusers:{folder}")
    assert "\n" not in str(refused.value)


# --- CLIPs ---------------------------------------------------------------------------------------------------------------------

WIDTHS = {"width": 16, "heads": 2, "layers": 1}
CLIPS: dict[str, dict[str, Any]] = {
    "vit": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8},
        "text_cfg": {"context_length": 12, **WIDTHS},
    },
    "resnet": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16},
        "text_cfg": {"context_length": 12, **WIDTHS},
    },
    "siglip": {
        "embed_dim": 16,
        "custom_text": True,
        "init_logit_bias": -10,
        "vision_cfg": {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "", "timm_proj": "linear"},
        "text_cfg": {
            "context_length": 8,
            "vocab_size": len(WORDS),
            "hf_tokenizer_name": "tiny/words",
            "no_causal_mask": True,
            "pool_type": "last",
            **WIDTHS,
        },
    },
    "roberta": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
        "text_cfg": {"context_length": 8, "hf_model_name": "tiny/roberta", "hf_tokenizer_name": "tiny/roberta"},
    },
}


@pytest.fixture
def clips(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, dict[str, Any]]]:
    """Four small architectures that open_clip knows, one with trained weights."""
    monkeypatch.setattr(factory, "_MODEL_CONFIGS", factory._MODEL_CONFIGS | {f"tiny-{name}": made for name, made in CLIPS.items()})
    here = pretrained._slpcfg(hf_hub="tiny/clip/", quick_gelu=True)
    monkeypatch.setattr(pretrained, "_PRETRAINED", pretrained._PRETRAINED | {"tiny-vit": {"here": here}})
    yield CLIPS


@pytest.mark.parametrize(("name", "layer"), [("vit", "visual.transformer.resblocks.0"), ("resnet", "visual.layer2.0.act3")])
def test_a_clip_is_what_its_library_makes(name: str, layer: str, clips: object) -> None:
    model = load(str(Reference.parse(f"open_clip:tiny-{name}?seed=3").having("text", "a cat & a dog")))
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = open_clip.create_model(f"tiny-{name}").eval()
    tokenizer = open_clip.get_tokenizer(f"tiny-{name}")
    assert torch.equal(model.held["text"], tokenizer(["a cat & a dog"])) and "random weights (seed 3)" in model.warnings[0]
    images, tokens = torch.randn(3, 3, 32, 32), tokenizer(["a cat", "two dogs", ""])
    with torch.no_grad():
        theirs = network(images, tokens)
    assert all(torch.allclose(ours, their, atol=1e-5) for ours, their in zip(model(images, tokens), theirs, strict=True))
    before = model(images)[1]
    model.choose("text", "a house")
    assert torch.equal(before[0], before[1]) and not torch.allclose(model(images)[1], before, atol=1e-3)
    inside = model.activations(images, [layer])[layer]
    rows = model.edited(images, [{}, {layer: inside}, {layer: inside.flip(0)}])
    assert torch.equal(rows[0], rows[1]) and torch.allclose(rows[0], theirs[0], atol=1e-5)
    assert torch.allclose(rows[2], theirs[0].flip(0), atol=1e-5)
    assert model.preprocessing.mean == open_clip.OPENAI_DATASET_MEAN and model.preprocessing.resize == "crop"


def test_trained_weights_of_a_clip_come_from_the_hub_cache_at_another_size(clips: object, caches: Path, tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    save_file(open_clip.create_model("tiny-vit").state_dict(), tmp_path / "clip/open_clip_model.safetensors")
    path = into_hub(caches, "tiny/clip", tmp_path / "clip") / "open_clip_model.safetensors"
    model = load("open_clip:tiny-vit:here?img_size=16")
    network = open_clip.create_model("tiny-vit", pretrained=str(path), force_image_size=16).eval()
    images, tokens = torch.randn(2, 3, 16, 16), model.held["text"].expand(2, -1)
    with torch.no_grad():
        assert all(torch.allclose(*both, atol=1e-5) for both in zip(model(images), network(images, tokens), strict=True))
    assert (model.preprocessing.size, model.preprocessing.mean, model.preprocessing.resize) == ((16, 16), (0.5,) * 3, "squash")
    assert model.origin == f"tiny-vit:here (open_clip {open_clip.__version__})"
    assert len(model.warnings) == 1 and "open open_clip:tiny-vit-quickgelu:here" in model.warnings[0]
    pixels = torch.zeros(1, 3, 16, 40)
    pixels[..., :4] = 1.0
    assert model.preprocess(pixels)[0, 0, 8, 0] > 0.9, "squashed, so that the edge stays in sight"
    cut_short(path)
    for tag in ("here", path):
        with pytest.raises(LoadError, match=r"open_clip_model.safetensors is cut short"):
            load(f"open_clip:tiny-vit:{tag}")


def clip_folder(folder: Path) -> Any:
    """Write a SigLIP with its tokenizer in open_clip's own layout; return the network."""
    folder.mkdir()
    config = {"model_cfg": CLIPS["siglip"], "preprocess_cfg": {"mean": [0.5, 0.4, 0.3], "resize_mode": "longest"}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    write_words(folder, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]")
    network = open_clip.create_model(f"local-dir:{folder}").eval()
    save_file(network.state_dict(), folder / "open_clip_model.safetensors")
    return network


def test_a_clip_in_a_folder_is_what_its_library_makes(caches: Path, tmp_path: Path) -> None:
    network = clip_folder(tmp_path / "siglip")
    model = load(f"open_clip:{tmp_path / 'siglip'}?text=the cat sat&img_size=160")
    assert torch.equal(model.held["text"], open_clip.get_tokenizer(f"local-dir:{tmp_path / 'siglip'}")(["the cat sat"]))
    images = torch.randn(3, 3, 160, 160)
    with torch.no_grad():
        theirs = network(images, model.held["text"].expand(3, -1))
    assert len(theirs) == 4, "SigLIP returns its bias, which is a weight and no layer"
    assert all(torch.allclose(*both, atol=1e-5) for both in zip(model(images), theirs, strict=True))
    assert model.preprocessing.mean == (0.5, 0.4, 0.3) and "pads images" in model.warnings[0]
    cut_short(into_hub(caches, "tiny/siglip", tmp_path / "siglip") / "open_clip_model.safetensors")
    for name in ("hf-hub:tiny/siglip", "tiny/siglip"):
        with pytest.raises(LoadError, match=r"models--tiny--siglip/.*/open_clip_model.safetensors is cut short"):
            load(f"open_clip:{name}")


def test_a_clip_with_a_text_tower_of_transformers(clips: object, caches: Path, tmp_path: Path) -> None:
    settings = transformers.RobertaConfig(**SIZES, max_position_embeddings=16, pad_token_id=0)
    settings.save_pretrained(tmp_path / "roberta")
    write_words(tmp_path / "roberta", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]")
    place = into_hub(caches, "tiny/roberta", tmp_path / "roberta")
    model = load("open_clip:tiny-roberta?text=the cat")
    assert model.held["text"].tolist() == [[2, 4, 6, 3, 0, 0, 0, 0]]
    images = torch.randn(2, 3, 32, 32)
    before = model(images)[1]
    model.choose("text", "the dog")
    assert before.shape == (2, 16) and not torch.allclose(model(images)[1], before, atol=1e-4)
    change(place / "config.json", model_type="own", auto_map={"AutoConfig": "code.Config"})
    with pytest.raises(LoadError, match="the text tower tiny/roberta is a 'own', which transformers has not"):
        load("open_clip:tiny-roberta")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: (f / "open_clip_config.json").unlink(), "has no open_clip_config.json"),
        (lambda f: change(f / "open_clip_config.json", model_cfg={"embed_dim": 3}), "has no model_cfg with both towers"),
        (
            lambda f: change(f / "open_clip_config.json", model_cfg=CLIPS["siglip"] | {"vision_cfg": CLIPS["vit"]["vision_cfg"]}),
            "does not fit .*: Missing key",
        ),
        (lambda f: change(f / "open_clip_config.json", model_cfg=CLIPS["vit"] | {"depth": 3}), "open_clip could not make .*depth"),
        (lambda f: (f / "open_clip_model.safetensors").unlink(), "has no open_clip_model.safetensors or"),
        (lambda f: cut_short(f / "open_clip_model.safetensors"), "open_clip_model.safetensors is cut short"),
    ],
)
def test_a_damaged_folder_of_a_clip_is_refused_in_one_line(damage: Callable[[Path], object], said: str, tmp_path: Path) -> None:
    clip_folder(tmp_path / "siglip")
    damage(tmp_path / "siglip")
    with pytest.raises(LoadError, match=said) as refused:
        load(f"open_clip:{tmp_path / 'siglip'}")
    assert "\n" not in str(refused.value)


def test_a_pickle_in_a_folder_of_a_clip_is_not_run(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[Any, tuple[str, str]]:
            return open, (str(tmp_path / "ran"), "w")

    clip_folder(tmp_path / "siglip")
    (tmp_path / "siglip/open_clip_model.safetensors").unlink()
    torch.save({"state_dict": {"visual.proj": Runs()}}, tmp_path / "siglip/open_clip_pytorch_model.bin")
    with pytest.raises(LoadError, match="would run code when opened"):
        load(f"open_clip:{tmp_path / 'siglip'}")
    assert not (tmp_path / "ran").exists()


def test_every_clip_with_trained_weights_is_listed() -> None:
    found = list_models("open_clip:*")
    pairs = [(name, tag) for name, tag in open_clip.list_pretrained() if not name.startswith("coca")]
    assert {f"open_clip:{name}:{tag}" for name, tag in pairs} <= set(found) and len(found) == len(set(found))
    assert "open_clip:ViT-S-32" in found, "an architecture without trained weights"
    assert not any("coca" in ref for ref in found)
