"""timm and torchvision weights from the caches those libraries keep, downloads with progress and cancel, and being offline."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from huggingface_hub import constants
from safetensors.torch import save, save_file

from workbench.models.loading import LoadError, load
from workbench.models.sources import download
from workbench.models.sources.download import fetch_from_hub, fetch_url
from workbench.models.sources.timm import TimmArchitecture
from workbench.models.sources.tracing import seeded
from workbench.task import Cancelled, Task

REPOSITORY = "timm/test_resnet.r160_in1k"


class Bytes(Task):
    """Keeps what is told of downloads, and is cancelled when so many bytes are there."""

    def __init__(self, cancel_after: float = float("inf")) -> None:
        self.told: list[tuple[float, float]] = []
        self.cancel_after = cancel_after

    def step(self, done: float, total: float, partial: object = None, note: str = "") -> None:
        if note.startswith("downloading"):
            self.told.append((done, total))
            if done >= self.cancel_after:
                raise Cancelled


def point_to(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Caches of both libraries in a folder of their own, and no way out of the machine."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    point_to(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path


def cached_in_hub(caches: Path, repository: str, name: str, content: bytes) -> Path:
    """Lay a file down as the hub library does: blob, snapshot of a commit, and the branch that points to it."""
    folder = caches / "hub" / f"models--{repository.replace('/', '--')}"
    commit = "0123456789abcdef0123456789abcdef01234567"
    for part in ("blobs", "refs", f"snapshots/{commit}"):
        (folder / part).mkdir(parents=True)
    blob = folder / "blobs" / hashlib.sha256(content).hexdigest()
    blob.write_bytes(content)
    (folder / "refs" / "main").write_text(commit)
    (folder / "snapshots" / commit / name).symlink_to(blob)
    return folder / "snapshots" / commit / name


def tiny_state(channels: int = 3) -> dict[str, torch.Tensor]:
    with seeded(3):
        return dict(TimmArchitecture("test_resnet").build(channels=channels).state_dict())


# --- from the caches -----------------------------------------------------------------------------------------------------------


def test_timm_weights_come_from_the_hub_cache(caches: Path) -> None:
    state = tiny_state()
    cached_in_hub(caches, REPOSITORY, "model.safetensors", save(state))
    model = load("timm:test_resnet.r160_in1k?img_size=32")
    module = timm.create_model("test_resnet").eval()
    module.load_state_dict(state)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(model(x), module(x))
    assert model.warnings == () and model.labels[0] == "tench" and model.licence == "apache-2.0"
    assert model.origin.startswith(f"{REPOSITORY} (timm ")
    assert (model.name, model.architecture) == ("test_resnet.r160_in1k", "test_resnet")
    adapted = load("timm:test_resnet?img_size=32&in_chans=1")
    assert adapted.preprocessing.channels == 1 and "adapted to 1" in adapted.warnings[0]


def test_the_older_file_of_a_repository_is_found(caches: Path, tmp_path: Path) -> None:
    torch.save(tiny_state(), tmp_path / "w.bin")
    path = cached_in_hub(caches, REPOSITORY, "pytorch_model.bin", (tmp_path / "w.bin").read_bytes())
    assert fetch_from_hub(REPOSITORY, ("model.safetensors", "pytorch_model.bin"), task=Task()) == path


def test_a_damaged_cached_file_is_told(caches: Path) -> None:
    cached_in_hub(caches, REPOSITORY, "model.safetensors", save(tiny_state())[:-500])
    with pytest.raises(LoadError, match=r"model\.safetensors is cut short"):
        load("timm:test_resnet")


def test_torchvision_weights_come_from_the_checkpoint_folder(caches: Path) -> None:
    with seeded(3):
        state = torchvision.models.squeezenet1_1().state_dict()
    name = Path(torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1.url).name
    (caches / "torch/hub/checkpoints").mkdir(parents=True)
    torch.save(state, caches / "torch/hub/checkpoints" / name)
    model = load("torchvision:squeezenet1_1?weights=IMAGENET1K_V1&img_size=64")
    module = torchvision.models.squeezenet1_1().eval()
    module.load_state_dict(state)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(x), module(x))
    assert model.origin.startswith("SqueezeNet1_1_Weights.IMAGENET1K_V1") and model.licence == "BSD-3-Clause"
    assert (model.preprocessing.interpolation, model.preprocessing.crop) == ("bilinear", 224 / 256)
    assert model.labels[0] == "tench"


# --- offline -------------------------------------------------------------------------------------------------------------------


def test_offline_timm_says_what_is_missing_and_where(caches: Path) -> None:
    with pytest.raises(LoadError) as error:
        load("timm:test_resnet.r160_in1k")
    said = str(error.value)
    assert (
        f"model.safetensors is not on this machine (looked in {caches}/hub/models--timm--test_resnet.r160_in1k)" in said
    )
    assert "http://127.0.0.1:9/timm/test_resnet.r160_in1k/resolve/main/model.safetensors" in said
    assert "Connection refused" in said and "?pretrained=false" in said and "\n" not in said


def test_the_hubs_own_offline_switch_is_heard(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(LoadError, match="HF_HUB_OFFLINE is set"):
        load("timm:test_resnet.r160_in1k")


def test_offline_torchvision_says_what_is_missing_and_where(caches: Path) -> None:
    with pytest.raises(LoadError) as error:
        load("torchvision:resnet18")
    said = str(error.value)
    assert f"resnet18-f37072fd.pth is not on this machine (looked in {caches}/torch/hub/checkpoints)" in said
    assert "https://download.pytorch.org/models/resnet18-f37072fd.pth" in said and "Connection refused" in said
    assert not list((caches / "torch/hub/checkpoints").iterdir())


# --- downloads -----------------------------------------------------------------------------------------------------------------

CONTENT = bytes(range(256)) * 8_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        if self.path.startswith("/gated/"):
            self.send_response(403)
            self.send_header("X-Error-Code", "GatedRepo")
            self.end_headers()
            return
        if not self.path.endswith((".pth", "weights.safetensors")):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.send_header("ETag", f'"{DIGEST}"')
        self.send_header("X-Repo-Commit", "0123456789abcdef0123456789abcdef01234567")
        self.end_headers()
        if body:
            self.wfile.write(CONTENT[:1000] if "short" in self.path else CONTENT)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def server(caches: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = False
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    address = f"http://127.0.0.1:{running.server_port}"
    point_to(monkeypatch, address)
    yield address
    running.shutdown()
    thread.join()
    running.server_close()


def test_a_download_tells_its_bytes_and_arrives_whole(server: str, caches: Path) -> None:
    task = Bytes()
    path = fetch_url(f"{server}/tiny-{DIGEST[:8]}.pth", task=task)
    assert path == caches / f"torch/hub/checkpoints/tiny-{DIGEST[:8]}.pth" and path.read_bytes() == CONTENT
    assert len(task.told) >= 4 and task.told[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in task.told] == sorted(done for done, _ in task.told)


def test_a_cancelled_download_leaves_nothing(server: str, caches: Path) -> None:
    with pytest.raises(Cancelled):
        fetch_url(f"{server}/tiny-{DIGEST[:8]}.pth", task=Bytes(cancel_after=download.CHUNK))
    assert not list((caches / "torch/hub/checkpoints").iterdir())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tiny-00000000.pth", "tiny-00000000.pth arrived damaged"),
        ("short.pth", "the connection ended after 1,000 of 2,048,000 bytes"),
        ("missing.bin", "HTTP Error 404|Not Found"),
    ],
)
def test_a_bad_download_is_told_and_leaves_nothing(name: str, said: str, server: str, caches: Path) -> None:
    with pytest.raises(LoadError, match=said):
        fetch_url(f"{server}/{name}", task=Task())
    assert not list((caches / "torch/hub/checkpoints").iterdir())


def test_a_hub_download_tells_its_bytes_and_is_cached(
    server: str, caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 18)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    task = Bytes()
    path = fetch_from_hub("some/net", ("model.safetensors", "weights.safetensors"), task=task)
    assert path.read_bytes() == CONTENT and caches / "hub" in path.parents
    assert len(task.told) >= 4 and task.told[-1] == (len(CONTENT), len(CONTENT))
    assert constants.HF_HUB_DISABLE_XET is False
    point_to(monkeypatch, "http://127.0.0.1:9")
    assert fetch_from_hub("some/net", ("weights.safetensors",), task=Task()) == path
    with pytest.raises(LoadError, match="looked in"):
        fetch_from_hub("some/net", ("model.safetensors",), task=Task())


def test_a_cancelled_hub_download_is_not_taken_for_whole(
    server: str, caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 18)
    with pytest.raises(Cancelled):
        fetch_from_hub("some/net", ("weights.safetensors",), task=Bytes(cancel_after=1 << 19))
    path = fetch_from_hub("some/net", ("weights.safetensors",), task=Task())
    assert path.read_bytes() == CONTENT


def test_a_repository_without_weights_is_told(server: str, caches: Path) -> None:
    with pytest.raises(LoadError, match=r"some/net has none of the files a\.bin, b\.bin"):
        fetch_from_hub("some/net", ("a.bin", "b.bin"), task=Task())


def test_a_gated_repository_says_what_to_do(server: str, caches: Path) -> None:
    with pytest.raises(LoadError, match=r"accepted its licence: do so at http://.*/gated/net, run 'hf auth login'"):
        fetch_from_hub("gated/net", ("weights.safetensors",), task=Task())


def test_a_truncated_file_never_reaches_the_network(caches: Path, tmp_path: Path) -> None:
    """A half checkpoint of torchvision, as a crash of another program may leave."""
    folder = caches / "torch/hub/checkpoints"
    folder.mkdir(parents=True)
    save_file({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "half.safetensors")
    name = Path(torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1.url).name
    (tmp_path / "half.safetensors").rename(folder / name)
    with pytest.raises(LoadError, match=r"does not fit torchvision:squeezenet1_1: .* is missing"):
        load("torchvision:squeezenet1_1")
