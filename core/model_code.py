"""What a model's folder would have run, refused before anything of it is loaded.

transformers runs code that a config names in `auto_map`. sentence-transformers (5) imports the
classes that `modules.json` names, out of the folder too, whatever it is told to trust; and a
module of its own without safetensors falls back to pickled weights.
"""

import re
from pathlib import Path
from typing import NoReturn

from core import files
from core.errors import ModelError

MODULE = re.compile(r"sentence_transformers(\.\w+)*\.(Transformer|Pooling|Normalize|Dense)")
ACTIVATION = re.compile(r"torch\.nn(\.modules)?(\.\w+)?\.\w+")
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")


def refuse(folder: Path, name: object) -> None:
    """Refuse a folder whose files ask for code of its own, or would be unpickled.

    Raises:
        ModelError: a config maps a class to a Python file beside it; a sentence embedder names a
            module that is none of the plain ones, lies outside, or has pickled weights alone.
    """
    asks = (p for p in sorted(folder.rglob("*config*.json")) if _maps_to_code(p))
    if (asking := next(asks, None)) and any(folder.rglob("*.py")):
        what = f"its {asking.name} asks to run Python code that comes with the model"
        _no(name, what, "Give a model that transformers knows by itself; no such code is run.")
    if (folder / "modules.json").is_file():
        _check_modules(folder, name)


def _maps_to_code(path: Path) -> bool:
    about = files.read_json(path)
    return isinstance(about, dict) and "auto_map" in about


def _check_modules(folder: Path, name: object) -> None:
    """Each module of a sentence embedder, by what `modules.json` says of it."""
    listed = files.read_json(folder / "modules.json")
    do = "Give an embedder of Transformer, Pooling, Dense and Normalize with safetensors weights."
    for module in listed if isinstance(listed, list) and listed else [None]:
        kind, inner = (
            (module.get("type"), module.get("path")) if isinstance(module, dict) else (None, None)
        )
        if not isinstance(kind, str) or not MODULE.fullmatch(kind):
            _no(name, "its modules.json names a module that would run other code", do, kind)
        place = (folder / str(inner)).resolve()
        if not isinstance(inner, str) or not place.is_relative_to(folder.resolve()):
            _no(name, "its modules.json leads out of its folder", do, inner)
        if _only_pickled(place):
            _no(name, "a module of it has pickled weights alone", do, inner)
        if kind.endswith(".Dense") and not ACTIVATION.fullmatch(_activation(place)):
            _no(name, "its Dense module names an activation of its own", do, _activation(place))


def _only_pickled(place: Path) -> bool:
    pickled = any(found for pattern in PICKLED for found in place.glob(pattern))
    return pickled and not any(place.glob("*.safetensors"))


def _activation(place: Path) -> str:
    about = files.read_json(place / "config.json")
    default = "torch.nn.Tanh"  # where nothing is said
    return str(about.get("activation_function", default)) if isinstance(about, dict) else default


def _no(name: object, what: str, do: str, got: object = "") -> NoReturn:
    raise ModelError(name, what, do=do, **({"got": got} if got != "" else {}))
