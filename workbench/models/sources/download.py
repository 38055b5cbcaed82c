"""Weight files of the model hubs: from the caches those libraries keep, else downloaded with progress and cancel.

The caches are the libraries' own (``HF_HOME``, ``TORCH_HOME``), so that what another program downloaded is found here, and what is
downloaded here is found there. Offline, the error says which file is missing, where it was looked for and where it can be put.
"""

from __future__ import annotations

import hashlib
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch

from workbench.models.loading import LoadError
from workbench.models.sources.tracing import brief
from workbench.task import Task
from workbench.whole_file import replacing

CHUNK = 1 << 18
"""Bytes between two looks at the task: 25 ms at 10 MB/s."""

PATIENCE = 10.0
"""Seconds without a byte after which a server counts as unreachable."""

_HASH = re.compile(r"-([0-9a-f]{8,})\.")

RANDOM = "give ?pretrained=false for random weights"
"""What else a user can do about weights that are not there."""


class NoSuchFile(LoadError):
    """A repository was reached and has none of the files."""


def fetch_url(url: str, *, task: Task, instead: str = RANDOM, git_hash: str = "") -> Path:
    """Return the file of a torch hub URL from the checkpoint folder, downloaded when it is not there.

    Parameters
    ----------
    instead
        What the error says a user can do else.
    git_hash
        What git calls the file, where its name does not carry its SHA-256; see `git_hash_of`.

    Raises
    ------
    LoadError
        When it is not there and cannot be downloaded, or arrives damaged.
    """
    name = Path(urlparse(url).path).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(path) as partial:
            digest, expected = _stream(url, partial, name, task), _HASH.search(name)
            if expected and not digest.startswith(expected[1]):
                raise LoadError(f"{name} arrived damaged from {url} (its SHA-256 starts {digest[:8]}, not {expected[1]}); load it again")
            if git_hash and (found := git_hash_of(partial)) != git_hash:
                raise LoadError(
                    f"{name} arrived damaged from {url}, or was changed there (git would call it {found[:8]}…, not {git_hash[:8]}…); "
                    f"load it again, or {instead}"
                )
    except (OSError, HTTPException) as error:
        raise _missing(name, path.parent, url, error, instead) from error
    return path


def git_hash_of(path: Path) -> str:
    """Return the SHA-1 under which git keeps a file of this content, 40 hexadecimal digits."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _stream(url: str, path: Path, name: str, task: Task) -> str:
    """Write what the URL gives to `path`; return its SHA-256."""
    digest, done = hashlib.sha256(), 0
    task.step(0, 0, note=f"connecting to {urlparse(url).hostname}")
    request = urllib.request.Request(url, headers={"User-Agent": "circuit-workbench"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as response, path.open("wb") as file:
        total = int(response.headers.get("Content-Length") or 0)
        while chunk := response.read(CHUNK):
            file.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            task.step(done, total, note=f"downloading {name}")
    if done < total:
        raise OSError(f"the connection ended after {done:,} of {total:,} bytes")
    return digest.hexdigest()


def find_in_hub_cache(repository: str, names: Sequence[str]) -> Path | None:
    """Return the first of the files `names` that the cache has of a Hugging Face repository, ``owner/name`` or ``owner/name@revision``."""
    import huggingface_hub
    from huggingface_hub import constants

    repository, _, revision = repository.partition("@")
    for name in names:
        found = huggingface_hub.try_to_load_from_cache(
            repository, name, cache_dir=constants.HF_HUB_CACHE, revision=revision or None
        )
        if isinstance(found, str):
            return Path(found)
    return None


def fetch_from_hub(repository: str, names: Sequence[str], *, task: Task, instead: str = RANDOM) -> Path:
    """Return the first of the files `names` that a Hugging Face repository has, from its cache or downloaded into it.

    Parameters
    ----------
    instead
        What the error says a user can do else.

    Raises
    ------
    NoSuchFile
        When the repository was reached and has none of them.
    LoadError
        When none is in the cache and none can be downloaded.
    """
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError

    cached = find_in_hub_cache(repository, names)
    if cached is not None:
        return cached
    cache = Path(constants.HF_HUB_CACHE)
    repository, _, revision = repository.partition("@")
    folder = cache / f"models--{repository.replace('/', '--')}"
    if constants.HF_HUB_OFFLINE:
        raise _missing(names[0], folder, repository, "HF_HUB_OFFLINE is set", instead)
    for name in names:
        url = huggingface_hub.hf_hub_url(repository, name, revision=revision or None)
        task.step(0, 0, note=f"connecting to {urlparse(url).hostname}")
        try:
            # Asked first, because the library takes 24 seconds of retries, deaf to cancel, to notice that there is no network.
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PATIENCE):
                pass
        except urllib.error.HTTPError as error:
            if error.code == 404:
                continue  # any other answer is the library's to deal with: it knows who the user is
        except (OSError, HTTPException) as error:
            raise _missing(name, folder, url, error, instead) from error
        try:
            with _plain_http():
                found = huggingface_hub.hf_hub_download(
                    repository,
                    name,
                    revision=revision or None,
                    cache_dir=cache,
                    tqdm_class=_progress(task, name),
                )
        except (OSError, HfHubHTTPError) as error:
            if getattr(getattr(error, "response", None), "status_code", None) in (401, 403):
                raise LoadError(
                    f"{repository} gives its weights only to those who accepted its licence: do so at "
                    f"{constants.ENDPOINT}/{repository}, run 'hf auth login', and load again"
                ) from error
            raise _missing(name, folder, url, error.__cause__ or error, instead) from error
        return Path(found)
    raise NoSuchFile(f"{repository} has none of the files {', '.join(names)}; load another network of that architecture")


@contextmanager
def _plain_http() -> Iterator[None]:
    """Keep the hub library from its other protocol, which reports from a thread of its own and cannot be cancelled."""
    from huggingface_hub import constants

    before = constants.HF_HUB_DISABLE_XET
    constants.HF_HUB_DISABLE_XET = True
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_XET = before


def _progress(task: Task, name: str) -> type:
    """Return what the hub library takes for a class of progress bars: it draws nothing and tells the task."""

    class Progress:
        def __init__(self, total: float | None = None, initial: float = 0, **_: Any) -> None:
            self.total, self.received = total or 0, initial

        def __enter__(self) -> object:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def update(self, received: float = 1) -> None:
            self.received += received
            task.step(self.received, self.total, note=f"downloading {name}")

    return Progress


def _missing(name: str, folder: Path, where: str, reason: BaseException | str, instead: str) -> LoadError:
    return LoadError(
        f"{name} is not on this machine (looked in {folder}) and could not be downloaded from {where}: "
        f"{reason if isinstance(reason, str) else _plainly(reason)}; connect and load again, put the file there, "
        f"or {instead}"
    )


def _plainly(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return brief(reason) if isinstance(reason, BaseException) else brief(error)
