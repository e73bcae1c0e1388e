"""Episodes as a file of JSON lines, readable by any tool.

The first line is the header: data_set, version, split, fold, classes (name to id), eligibility rule,
label policy, ways, shots, queries, runs, seed, policy, sha256, the digest of all bytes that follow the
header's newline, and header_sha256, that of all else in the header (manifests of fsjax 0.5 and before have
none). Then comes one line an episode:

    {"index": 0, "class_ids": [8], "support": [["2007_000528"]], "query": ["2007_000876"]}

with the supports' image ids for each way, in the order of class_ids.
"""

import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fsjax.data.index import MinArea
from fsjax.data.sampling import SAMPLERS, EpisodeSampler, EpisodeSpec
from fsjax.data.source import Source
from fsjax.errors import InputError
from fsjax.files import replacing


@dataclass(frozen=True)
class Header:
    """What the episodes of a manifest were drawn from, and how."""

    data_set: str
    version: str
    split: str
    fold: int | None
    classes: Mapping[str, int]  # the classes drawn from: name to class id
    eligibility: str  # which images count for a class, in words
    label_policy: str  # which labels the episodes are scored on, in words
    ways: int
    shots: int
    queries: int
    runs: int  # the episodes are so many runs of one length, one after another
    seed: int
    policy: str = "class_uniform"  # how they were drawn


def describe(
    source: Source, sampler: EpisodeSampler, *, fold: int | None, label_policy: str, runs: int = 1
) -> Header:
    """Returns the header for the episodes that a sampler draws from a source."""
    names = source.class_names
    eligible = eligibility(sampler.min_area)
    if sampler.without:
        eligible += f", no pixel of {', '.join(names[c - 1] for c in sampler.without)}"
    return Header(
        data_set=source.name,
        version=source.version,
        split=source.split,
        fold=fold,
        classes={names[c - 1]: c for c in sampler.classes},
        eligibility=eligible,
        label_policy=label_policy,
        ways=sampler.ways,
        shots=sampler.shots,
        queries=sampler.queries,
        runs=runs,
        seed=sampler.seed,
        policy=sampler.policy,
    )


def eligibility(rule: MinArea) -> str:
    """Returns a rule as a header has it, where no class is left out."""
    least = "OSLSM's rule for the" if rule == "oslsm" else f"at least {max(rule, 1)}"
    return f"{least} pixels of the class in the original mask"


def rule_of(header: Header) -> MinArea | None:
    """Returns the rule that a header's eligibility names, None where its words are another program's."""
    said = re.fullmatch(r"at least (\d{1,18}) pixels .*", header.eligibility, re.ASCII)
    rule: MinArea = int(said[1]) if said else "oslsm"
    return rule if header.eligibility == eligibility(rule) else None


def digest(specs: Iterable[EpisodeSpec], ids: Sequence[str]) -> str:
    """Returns the sha256 of the episodes' lines, as a manifest's header gives it.

    Args:
        specs: the episodes.
        ids: the image id at each position.
    """
    return hashlib.sha256(_lines(specs, ids)).hexdigest()


def write(path: str | Path, header: Header, specs: Iterable[EpisodeSpec], ids: Sequence[str]) -> str:
    """Writes a manifest atomically and returns its sha256.

    Args:
        path: the file; its folder is made.
        header: what the episodes were drawn from.
        specs: the episodes.
        ids: the image id at each position.
    """
    path, lines = Path(path), _lines(specs, ids)
    sha256 = hashlib.sha256(lines).hexdigest()
    fields = {**asdict(header), "sha256": sha256}
    first = json.dumps({**fields, "header_sha256": _header_sha256(fields)}, ensure_ascii=False) + "\n"
    with replacing(path) as temporary:
        temporary.write_bytes(first.encode() + lines)
    return sha256


def _header_sha256(fields: Mapping[str, Any]) -> str:
    """Returns the digest of a header's fields, whatever their order and the spaces between them."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _lines(specs: Iterable[EpisodeSpec], ids: Sequence[str]) -> bytes:
    return b"".join(_line(spec, ids) for spec in specs)


def _line(spec: EpisodeSpec, ids: Sequence[str]) -> bytes:
    episode = {
        "index": spec.index,
        "class_ids": list(spec.class_ids),
        "support": [[ids[position] for position in way] for way in spec.support],
        "query": [ids[position] for position in spec.query],
    }
    return json.dumps(episode, ensure_ascii=False).encode() + b"\n"


def read(path: str | Path, source: Source) -> tuple[Header, list[EpisodeSpec]]:
    """Reads a manifest for a source.

    Args:
        path: the file.
        source: the data set that its image ids name.

    Returns:
        The header and the episodes.

    Raises:
        InputError: the file is missing, of another data set, version or split, has a malformed line, an
            unknown image id, an image twice, a class twice, a support without its class or a query without
            any of them (the line is named), or its lines or its header do not match their digests.
    """
    first, _, lines = _content(path).partition(b"\n")
    header, sha256 = _parse_header(first, path)
    for field, mine in {"data_set": source.name, "version": source.version, "split": source.split}.items():
        if getattr(header, field) != mine:
            raise InputError(
                f"manifest '{path}' line 1: its {field} is {getattr(header, field)!r} and the data's is "
                f"{mine!r}; open the data set that the manifest was drawn from."
            )
    _check_classes(header.classes, source.class_names, f"manifest '{path}' line 1")
    positions = {image_id: position for position, image_id in enumerate(source.ids)}
    areas = functools.cache(source.areas)
    specs, seen = [], set()
    for number, line in enumerate(lines.splitlines(), start=2):
        where = f"manifest '{path}' line {number}"
        specs.append(_parse_episode(line, header, positions, where))
        if specs[-1].index in seen:
            raise InputError(
                f"{where}: the index {specs[-1].index} stands on an earlier line; write it anew."
            )
        seen.add(specs[-1].index)
        _check_repeats(specs[-1], source.ids, where)
        _check_supports(specs[-1], source, areas, where)
        _check_queries(specs[-1], source, areas, where)
    computed = hashlib.sha256(lines).hexdigest()
    if computed != sha256:
        raise InputError(
            f"manifest '{path}': the lines after line 1 have the sha256 {computed} and line 1 says {sha256}; "
            "the file was changed or cut short, so write it anew."
        )
    return header, specs


def read_header(path: str | Path) -> Header:
    """Returns a manifest's header alone, which names the data set that the rest is to be read with.

    Raises:
        InputError: the file is missing, or its first line is no header.
    """
    return _parse_header(_content(path).partition(b"\n")[0], path)[0]


def _content(path: str | Path) -> bytes:
    try:
        if Path(path).exists() and not Path(path).is_file():  # a pipe would be waited for
            raise InputError(f"manifest '{path}' is a folder, a pipe or a device; name a file.")
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"manifest '{path}' cannot be read ({error.strerror}); check the path.") from None


def _parse_header(line: bytes, path: str | Path) -> tuple[Header, str]:
    try:
        fields: dict[str, Any] = json.loads(line)
        told = fields.pop("header_sha256", None)
        whole = told in (None, _header_sha256(fields))
        sha256 = fields.pop("sha256")
        header = Header(**fields)
        texts = (
            header.data_set, header.version, header.split, header.eligibility, header.label_policy,
            header.policy,
        )  # fmt: skip
        counts = header.ways, header.shots, header.queries, header.runs
        numbers = header.seed, *(() if header.fold is None else (header.fold,)), *header.classes.values()
        if not (
            all(isinstance(text, str) for text in (*texts, sha256))
            and all(_is_whole(count, 1) for count in counts)
            and all(_is_whole(number, 0) for number in numbers)
        ):
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InputError(
            f"manifest '{path}' line 1: not a header of episodes; write the file anew."
        ) from None
    if header.policy not in SAMPLERS:
        raise InputError(
            f"manifest '{path}' line 1: its policy {header.policy!r} is unknown; name one of "
            f"{', '.join(SAMPLERS)}."
        )
    if not whole:
        raise InputError(
            f"manifest '{path}' line 1: it is not the header that was written; write the file anew, or take "
            "header_sha256 out of the line if the change is meant."
        )
    return header, sha256


def _is_whole(value: object, least: int) -> bool:
    """True and False are whole numbers to Python, and not here; more than 64 bits no array holds."""
    return type(value) is int and least <= value < 2**63


def _check_classes(classes: Mapping[str, int], names: Sequence[str], where: str) -> None:
    ids = {name: class_id for class_id, name in enumerate(names, start=1)}
    for name, class_id in classes.items():
        if ids.get(name) != class_id:
            raise InputError(
                f"{where}: it gives class {name!r} the id {class_id}, and the data do not; write it anew."
            )


def _check_repeats(spec: EpisodeSpec, ids: Sequence[str], where: str) -> None:
    """Makes sure that no class, no way's support and no query stands twice, nor a query as a support."""
    if len({*spec.class_ids}) < len(spec.class_ids):
        raise InputError(f"{where}: class_ids {list(spec.class_ids)} hold a class twice; name another.")
    for way in spec.support:
        for number, position in enumerate(way):
            if position in way[:number]:
                raise InputError(f"{where}: support image {ids[position]!r} stands twice; name another.")
    supports = {position for way in spec.support for position in way}
    for number, position in enumerate(spec.query):
        if position in supports:
            raise InputError(f"{where}: query image {ids[position]!r} is a support as well; name another.")
        if position in spec.query[:number]:
            raise InputError(f"{where}: query image {ids[position]!r} stands twice; name another.")


def _check_supports(
    spec: EpisodeSpec, source: Source, areas: Callable[[int], np.ndarray], where: str
) -> None:
    """Makes sure that no support's mask is empty."""
    for class_id, way in zip(spec.class_ids, spec.support, strict=True):
        for position in way:
            if not areas(position)[class_id - 1]:
                raise InputError(
                    f"{where}: support image {source.ids[position]!r} shows no pixel of class "
                    f"{source.class_names[class_id - 1]!r}; name an image that does."
                )


def _check_queries(spec: EpisodeSpec, source: Source, areas: Callable[[int], np.ndarray], where: str) -> None:
    """Makes sure that every query shows a class of the episode."""
    columns = [class_id - 1 for class_id in spec.class_ids]
    for position in spec.query:
        if not areas(position)[columns].any():
            raise InputError(
                f"{where}: query image {source.ids[position]!r} shows no pixel of "
                f"{', '.join(source.class_names[column] for column in columns)}; name an image that does."
            )


def _parse_episode(line: bytes, header: Header, positions: Mapping[str, int], where: str) -> EpisodeSpec:
    try:
        episode = json.loads(line)
        index, class_ids = episode["index"], tuple(episode["class_ids"])
        support, query = [list(way) for way in episode["support"]], list(episode["query"])
        images = {*query, *(image_id for way in support for image_id in way)}
        numbers, texts = (index, *class_ids), all(isinstance(image_id, str) for image_id in images)
        if not (texts and all(_is_whole(number, 0) for number in numbers)):
            raise ValueError
    except (ValueError, TypeError, KeyError, RecursionError):
        raise InputError(f"{where}: not an episode; write the file anew.") from None
    if unknown := images - positions.keys():
        raise InputError(f"{where}: image {min(unknown)!r} is not in the data set; open the one it is of.")
    shape = len(class_ids), [len(way) for way in support], len(query)
    if shape != (header.ways, [header.shots] * header.ways, header.queries):
        raise InputError(
            f"{where}: not a {header.ways}-way {header.shots}-shot episode with queries={header.queries}, "
            "as line 1 says; write the file anew."
        )
    if not set(class_ids) <= set(header.classes.values()):
        raise InputError(f"{where}: class_ids {list(class_ids)} are not among line 1's classes; mend either.")
    ways = tuple(tuple(positions[image_id] for image_id in way) for way in support)
    return EpisodeSpec(index, class_ids, ways, tuple(positions[image_id] for image_id in query), class_ids)
