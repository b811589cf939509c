"""Manifests of Lhotse: cuts, or recordings with supervisions, as JSON lines.

A supervision is a row: its part of the recording, its text, language and speaker, and the words of its `word`
alignment. A cut or a recording without supervisions is a row without text. Features, which are not sound, are
ignored by name. What Lhotse would change while it reads, mixed cuts and transforms, is set aside.
"""

import collections
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import parse_lines
from spirit_jax.core.stored_files import bare_name
from spirit_jax.datasets.corpora.given import Given, held_out_split, missing_partner
from spirit_jax.datasets.corpus import BadRow

CUTS = ("MonoCut", "MultiCut", "MixedCut", "PaddingCut")
RECORDINGS, SUPERVISIONS = "recordings", "supervisions"
IGNORED = ("features", "temporal_array", "array", "image")
NEAR_S = 0.01  # closer times are equal: Lhotse rounds them


def is_cuts(first: Mapping[str, Any]) -> bool:
    """Whether a row is a cut."""
    return first.get("type") in CUTS or {"recording", "supervisions"} <= first.keys()


def is_half(first: Mapping[str, Any]) -> bool:
    """Whether a row is a recording or a supervision; a corpus needs both."""
    return {"sources", "sampling_rate"} <= first.keys() or {"recording_id", "duration"} <= first.keys()


def find_pair(manifests: Sequence[Path]) -> Path | None:
    """The recordings of two manifests that are a pair, such as `recordings_train.jsonl.gz` and
    `supervisions_train.jsonl.gz`; None for other manifests.
    """
    found = [path for path in manifests if RECORDINGS in path.name and _partner_of(path)]
    return found[0] if len(found) == 1 and len(manifests) == 2 else None


def read_cuts(path: Path, ignored: collections.Counter[str]) -> Iterator[Given]:
    """The supervisions of each cut, or the cut."""
    split = _split_of(path)
    for line, cut in parse_lines(path):
        where = f"{path} line {line}"
        if isinstance(cut, UserError):
            yield Given(cut, line, where)
            continue
        ignored.update(key for key in IGNORED if cut.get(key))
        for supervision in _supervisions_of(cut):
            yield _give(supervision, cut.get("recording"), cut, line, where, split)


def read_pair(path: Path, ignored: collections.Counter[str]) -> Iterator[Given]:
    """The supervisions of a pair, then the recordings that have none. path: of either. UserError without its
    partner.
    """
    partner = _partner_of(path)
    if partner is None:
        rule = f"has no partner: {RECORDINGS} and {SUPERVISIONS} have the same name but for this word"
        raise UserError("Lhotse manifest", path, rule, "add the other one, or give cuts")
    sounds, said = (path, partner) if RECORDINGS in path.name else (partner, path)
    recordings: dict[object, tuple[int, dict]] = {}
    for line, recording in parse_lines(sounds):
        if isinstance(recording, UserError):
            yield Given(recording, line, f"{sounds} line {line}")
        else:
            recordings[recording.get("id")] = line, recording
    split, named = _split_of(said), set()
    for line, row in parse_lines(said):
        if isinstance(row, UserError):
            yield Given(row, line, f"{said} line {line}")
        else:
            named.add(str(row.get("recording_id")))
            _, recording = recordings.get(row.get("recording_id"), (0, None))
            yield _give(row, recording, {}, line, f"{said} line {line}", split)
    for id, (line, recording) in recordings.items():
        if id not in named:
            yield _give({"id": id}, recording, {}, line, f"{sounds} line {line}", split)


def _partner_of(path: Path) -> Path | None:
    here, there = (RECORDINGS, SUPERVISIONS) if RECORDINGS in path.name else (SUPERVISIONS, RECORDINGS)
    partner = path.with_name(path.name.replace(here, there))
    return partner if here in path.name and partner.is_file() else None


def _split_of(path: Path) -> str | None:
    """A held-out split by the words of a name, such as dev of `librispeech_cuts_dev-clean.jsonl.gz`."""
    splits = (held_out_split(word) for word in bare_name(path).split("_"))
    return next((split for split in splits if split), None)


def _supervisions_of(cut: Mapping[str, Any]) -> list[Any]:
    """The only supervision has the cut's id, since an utterance may be in several cuts."""
    found = cut.get("supervisions") or [{}]
    if isinstance(found, list) and len(found) == 1 and isinstance(found[0], dict):
        return [{**found[0], "id": cut.get("id")}]
    return found if isinstance(found, list) else [found]


def _give(
    supervision: Any, recording: Any, cut: Mapping[str, Any], line: int, where: str, split: str | None
) -> Given:
    """A supervision in the words of the manifest, or why it cannot be."""
    id = supervision.get("id") if isinstance(supervision, dict) else None
    id = id if isinstance(id, str) else ""
    try:
        row = _translate(supervision, recording, cut, where)
    except BadRow as error:
        return Given(error, line, where, id)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        rule = f"is not as Lhotse writes it ({type(error).__name__}: {error})"
        return Given(BadRow("bad_row", where, id, rule, "write the manifest again"), line, where, id)
    return Given({**row, "split": split}, line, where)


def _translate(supervision: dict, recording: Any, cut: Mapping[str, Any], where: str) -> dict:
    """Times of supervisions and of their words count from where the cut begins, or the recording."""
    if cut.get("type", "MonoCut") not in ("MonoCut", "MultiCut"):
        raise BadRow("bad_source", where, cut["type"], "is no part of one recording", "save the sound first")
    if recording is None:
        name = supervision.get("recording_id")
        raise missing_partner(where, name, "has no recording in the manifest")
    start = float(supervision.get("start", 0.0))
    begin = float(cut.get("start", 0.0)) + start
    length = float(supervision.get("duration") or cut.get("duration") or recording["duration"])
    if -NEAR_S < begin < 0:
        begin = 0.0
    whole = abs(begin) < NEAR_S and abs(length - float(recording["duration"])) < NEAR_S
    return {
        "id": supervision.get("id"),
        "audio": _source_of(recording, where),
        "text": supervision.get("text"),
        "words": _words_of(supervision, start, length),
        "voice": supervision.get("speaker"),
        "language": supervision.get("language"),
        "duration": length,
        "channel": _channel_of(supervision, recording, cut, where),
        **({} if whole else {"offset": begin}),
    }


def _source_of(recording: dict, where: str) -> str:
    """The path of a recording that is one file. BadRow for others: no command is run."""
    sources = recording["sources"]
    if recording.get("transforms"):
        raise BadRow("bad_source", where, "transforms", "would change the sound", "save the sound first")
    if len(sources) != 1 or sources[0]["type"] not in ("file", "url"):
        kinds = ", ".join(source["type"] for source in sources)
        reason = "command" if "command" in kinds else "bad_source"
        raise BadRow(reason, where, kinds, "is not one sound file; no command is run", "save the sound first")
    return sources[0]["source"]


def _channel_of(supervision: dict, recording: dict, cut: Mapping[str, Any], where: str) -> int | None:
    """The channel, of a recording with several; None for all of them."""
    channels = recording["sources"][0].get("channels") or [0]
    channel = supervision.get("channel", cut.get("channel", channels))
    if isinstance(channel, list) and len(channel) == 1:
        channel = channel[0]
    if len(channels) == 1 or isinstance(channel, list):
        return None
    if channel not in channels:
        raise BadRow("bad_part", where, channel, f"is none of the channels {channels}", "correct the row")
    return channels.index(channel)


def _words_of(supervision: dict, start: float, length: float) -> list[list] | None:
    """Words with times from where the supervision begins, inside it but for rounding."""
    words = []
    for item in (supervision.get("alignment") or {}).get("word") or ():
        symbol, at, duration = (
            (item["symbol"], item["start"], item["duration"]) if isinstance(item, dict) else item[:3]
        )
        begin = float(at) - start
        end = begin + float(duration)
        begin = 0.0 if -NEAR_S < begin < 0 else round(begin, 4)
        words.append([symbol, begin, length if 0 < end - length < NEAR_S else round(end, 4)])
    return [word for word in words if word[0]] or None  # a silence has no symbol
