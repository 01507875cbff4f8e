"""An export sent to the Hugging Face hub as a dataset. The only code that sends anything away."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import access, files
from core.errors import HubError

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@access.acts("push", lambda folder, repo, **__: f"{folder.name} to {repo}")
def push(folder: Path, repo: str, *, private: bool = True) -> str:
    """Send the files that a manifest names, and the manifest, to the dataset `repo`.

    `repo` is OWNER/NAME or NAME. A repository that is there keeps its visibility; a new one is
    private unless told otherwise. Returns the address of the commit.

    Raises:
        HubError: the folder holds no whole export, the client is missing, nobody is logged in,
            or the hub refuses or cannot be reached.
    """
    names = whole_export(folder)
    api = _client()
    message = f"SFTLens: {names[0]}"
    return _told(repo, lambda: _send(api, folder, repo, names, private, message))


def whole_export(folder: Path) -> list[str]:
    """The names of an export's files, each checked against the manifest's SHA-256.

    Raises:
        HubError: no manifest, or a file that is missing or was changed since.
    """
    manifest = files.read_json(folder / "manifest.json")
    do = "Give a folder that `sftlens select` or the Export page wrote."
    written = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(written, dict) or not written:
        raise HubError(folder, "holds no export", do=do)
    for name, facts in written.items():
        path = folder / name
        if Path(name).name != name or not path.is_file() or path.is_symlink():
            raise HubError(path, "is named by the manifest and is not there", do="Export again.")
        said = facts.get("sha256") if isinstance(facts, dict) else None
        if files.digest(path)["sha256"] != said:
            do = "Export again into a new folder, or undo the change."
            raise HubError(path, "is not what the manifest says; it was changed since", do=do)
    return [*written, "manifest.json"]


def _client() -> "HfApi":
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        do = 'Install it: pip install "sftlens[hf]".'
        raise HubError("push", "the hub's client is not installed", do=do) from error
    return HfApi(library_name="sftlens")


def _send(
    api: "HfApi", folder: Path, repo: str, names: list[str], private: bool, message: str
) -> str:
    """Create the repository where it is not there, and add the files in one commit."""
    from huggingface_hub import CommitOperationAdd

    whole = api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True).repo_id
    adds = [CommitOperationAdd(name, str(folder / name)) for name in names]
    done = api.create_commit(whole, adds, commit_message=message, repo_type="dataset")
    return str(done.commit_url)


def _told(repo: str, send: Any) -> str:
    """Every way in which the hub says no, as one sentence."""
    from huggingface_hub import errors

    login = "Log in first: hf auth login, or set HF_TOKEN."
    try:
        return str(send())
    except errors.LocalTokenNotFoundError as error:
        raise HubError(repo, "nobody is logged in to the hub", do=login) from error
    except (errors.OfflineModeIsEnabled, errors.HFValidationError) as error:
        offline = isinstance(error, errors.OfflineModeIsEnabled)
        what = "the hub is switched off by HF_HUB_OFFLINE" if offline else "is no name of a dataset"
        raise HubError(repo, what, do="Unset it." if offline else "Give OWNER/NAME.") from error
    except errors.HfHubHTTPError as error:
        code = error.response.status_code if error.response is not None else 0
        do = login if code == 401 else "Check the name and what your token may write."
        raise HubError(repo, f"the hub refused with status {code}", do=do) from error
    except (getattr(errors, "HTTPError", OSError), OSError) as error:
        do = "Check the network and try again."
        raise HubError(repo, "the hub cannot be reached", got=str(error), do=do) from error
