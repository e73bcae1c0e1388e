"""Weights files out of a model hub's repositories, fetched once into the hub's own cache.

The hub is huggingface_hub's: HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE mean what they mean to it.
"""

import logging
import re
from pathlib import Path
from typing import NamedTuple

import safetensors

from fsjax.errors import InputError
from fsjax.files import sha256_of
from fsjax.models.backbones.named import NAMED, alternative, licence
from fsjax.models.backbones.weights_file import SUFFIXES

LOG = logging.getLogger(__name__)

SCHEME = "hf://"

RUNS = "runs"
"""The folder that training puts its runs into: what begins with it is a path, whether it is there or not."""

_NAME = r"\w[\w.-]*"
_FILE = re.compile(
    rf"(?!.*(?:--|\.\.))({_NAME}/{_NAME})(?:@({_NAME}))?(?:/({_NAME}(?:/{_NAME})*\.safetensors))?", re.ASCII
)

_SHA256 = re.compile("[0-9a-f]{64}")


class UnreachableError(InputError):
    """A hub does not answer, or not as one does."""


class HubFile(NamedTuple):
    """A file in a repository of the hub."""

    repository: str  # owner/name
    name: str = "model.safetensors"
    revision: str = "main"

    def __str__(self) -> str:
        """Returns it as a sentence names it."""
        revision = "" if self.revision == "main" else f" at {self.revision}"
        return f"{self.name} of {self.repository}{revision}"


def parse(text: str) -> HubFile | None:
    """Returns the file that "owner/name", "owner/name@revision" or "owner/name/file.safetensors" names.

    A name of `NAMED`, which has no slash, is its repository's file. With "hf://" before it, a text always
    means the hub. Without, one that could be a path does not: one that begins with "runs/" or with a folder
    that is here, and "folder/file.safetensors".

    Raises:
      InputError: a text with "hf://" names no file of weights.

    >>> parse("timm/resnet50.a1_in1k")
    HubFile(repository='timm/resnet50.a1_in1k', name='model.safetensors', revision='main')
    >>> parse("hf://me/mine@v2/resnet.safetensors")
    HubFile(repository='me/mine', name='resnet.safetensors', revision='v2')
    >>> parse("dinov2-small").repository
    'facebook/dinov2-small'
    >>> parse("runs/prnet_shapes_fold0"), parse("weights/resnet50.safetensors"), parse("resnet50.npz")
    (None, None, None)
    """
    if text in NAMED:
        return HubFile(NAMED[text].repository)
    match = _FILE.fullmatch(text.removeprefix(SCHEME))
    if text.startswith(SCHEME):
        if match is None:
            raise InputError(
                f"{text} names no weights: write {SCHEME}owner/name, or {SCHEME}owner/name/file.safetensors; "
                "@revision may follow the name."
            )
    elif match is None or _may_be_a_path(match[1]):
        return None
    repository, revision, name = match.groups()
    return HubFile(repository, name or "model.safetensors", revision or "main")


def _may_be_a_path(repository: str) -> bool:
    owner, name = repository.split("/")
    return owner == RUNS or name.endswith(SUFFIXES) or Path(owner).exists()


def cached(file: HubFile) -> Path | None:
    """Returns the path of a file that is whole in the hub's cache, or None; nothing is fetched."""
    import huggingface_hub as hub  # takes a while, and most programs never need it

    known = hub.try_to_load_from_cache(file.repository, file.name, revision=file.revision)
    # It also remembers what a hub does not have.
    return Path(known) if isinstance(known, str) and not _damage(Path(known)) else None


def fetch(file: HubFile) -> Path:
    """Returns the path of a file in the hub's cache; what is not there yet is downloaded.

    What the cache has of a revision is taken without a question to the hub. Where the hub cannot be
    reached, that is said after one attempt.

    Raises:
      InputError: the hub does not have the file, cannot be reached, or sends what is no .safetensors.
    """
    import huggingface_hub as hub  # takes a while, and most programs never need it

    repository, name, revision = file
    try:
        known = hub.try_to_load_from_cache(repository, name, revision=revision)
        kept = Path(known) if isinstance(known, str) else None  # it also remembers what a hub does not have
        if kept and not _damage(kept):
            return kept
        # The download itself would try for minutes where nothing answers.
        hub.get_hf_file_metadata(hub.hf_hub_url(repository, name, revision=revision))
        under = f", which is under the {licence(repository)}" if licence(repository) else ""
        LOG.info("Fetching %s from %s%s.", file, hub.constants.ENDPOINT, under)
        path = Path(hub.hf_hub_download(repository, name, revision=revision, force_download=bool(kept)))
    except Exception as error:  # whatever it is, nothing was fetched; types differ from version to version
        raise _refusal(file, error) from error
    damage = _damage(path)
    if damage:
        raise InputError(f"{file}, as the hub sends it, is no whole .safetensors ({damage}): name another.")
    return path


def _damage(path: Path) -> str:
    """Returns what is wrong with a .safetensors in the cache.

    The cache names what it holds after its SHA-256, where the hub told one; else the header and the length
    must do.
    """
    told = path.resolve().name
    try:
        if _SHA256.fullmatch(told) and sha256_of(path) != told:
            return "its SHA-256 is another than the hub's"
        with safetensors.safe_open(path, framework="numpy"):
            return ""
    except (OSError, safetensors.SafetensorError) as error:
        return str(error)


def _refusal(file: HubFile, error: Exception) -> InputError:
    """Returns the sentence about a file that could not be fetched."""
    from huggingface_hub import constants, errors, hf_hub_url

    repository = file.repository
    url = hf_hub_url(repository, file.name, revision=file.revision)
    put = (
        f"download {url} where there is a network, put it into any folder here, and give "
        f"--config.model.weights=FOLDER/{file.name}, or --model=FOLDER/{file.name} to predict.py"
    )
    other, terms = alternative(repository), licence(repository)
    same = f", or name {other}, which has the same weights" if other else ""
    if isinstance(error, errors.GatedRepoError):
        accept = f"accept the {terms}" if terms else "ask for it"
        return InputError(
            f"{repository} is open only to those whom its owner lets in: {accept} at "
            f"{constants.ENDPOINT}/{repository} and log in with hf auth login; or {put}"
            f"{same or ', or name another'}."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return InputError(
            f"model.weights names {repository}, which is no file or folder here and no repository that "
            f"{constants.ENDPOINT} shows you: {f'{put}{same}' if other else 'correct the name'}."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return InputError(f"{repository} has no revision {file.revision}: name another after the @, or none.")
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return InputError(
            f"{repository} has no {file.name}: name a file of it as {repository}/FILE.safetensors."
        )
    return UnreachableError(
        f"{file} is not in the cache, or damaged there, and cannot be fetched ({_reason(error)}): {put}."
    )


def _reason(error: Exception) -> str:
    from huggingface_hub.errors import OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    lines = [line.strip(" .") for line in str(error).splitlines()]
    return next(filter(None, lines), type(error).__name__)
