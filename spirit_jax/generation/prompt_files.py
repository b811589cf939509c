"""A file of prompts, one a line, to a folder of results.

A line is a JSON object: `prompt`, a text or a list of parts (`generation.inputs`), and optionally `id` and
options of its own (`generation.options`). Paths are relative to the file.

    {"id": "a", "prompt": [{"text": "good morning"}, {"audio": "a.wav"}], "output": "speech", "seed": 3}

The folder gets `results.jsonl`, `wav/ID.wav`, `quarantine.jsonl` with the lines that could not be used, and
`summary.json`, which is written last. Finished parts of the file are in `done/`: the same command generates
only the parts whose lines, sounds, options or model have changed.
"""

import argparse
import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import fingerprint, parse_lines, read_json, write_json, write_jsonl
from spirit_jax.core.progress import Progress
from spirit_jax.core.stored_files import join, stamp_of
from spirit_jax.datasets.corpus import BadRow, count_reasons, put_aside
from spirit_jax.generation import jobs
from spirit_jax.generation.inputs import BadSound, Input, Sound, load_sounds, read_prompt
from spirit_jax.generation.options import READERS, Options, Request
from spirit_jax.generation.result_files import describe_parts, save_speech, summarize_output
from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.model.checkpoint import find_stored_model
from spirit_jax.tokens.vocabulary import Modality

RESULTS, QUARANTINE, SUMMARY = "results.jsonl", "quarantine.jsonl", "summary.json"
LINES = 32  # of a part, which is generated as one batch
SAFE = re.compile(r"[\w-][\w.-]{0,99}")  # an id names a file


@dataclasses.dataclass(frozen=True)
class Line:
    """A line that was read. audio: the address of its first sound, for the quarantine."""

    number: int
    id: str
    request: Request
    audio: str | None


def identify(args: argparse.Namespace) -> str:
    """Names the model, as far as the options of a command say which one it is."""
    stored = find_stored_model(args.checkpoint)
    codec = args.codec or stored.codec_path
    return fingerprint(*(str(part).encode() for part in (stored.weights, codec, args.dtype, args.mesh)))


def answer(lm: SpiritLM, path: Path, options: Mapping[str, Any], out: Path, model: str) -> dict:
    """Generates what is missing; returns the summary. options: those of lines that have none. model: names
    the model, whose change makes the results again.
    """
    rows = list(parse_lines(path))
    parts = [rows[i : i + LINES] for i in range(0, len(rows), LINES)]
    (out / SUMMARY).unlink(missing_ok=True)
    ledgers, seen = [], set()
    with Progress("generate", len(rows), "prompt") as progress:
        for number, part in enumerate(parts):
            lines, set_aside = _read_part(part, path.parent, options, seen)
            done, inputs = out / "done" / f"part-{number:05d}.json", _identify(lines, set_aside, model)
            ledger = read_json(done) if done.is_file() else {}
            if ledger.get("inputs") == inputs:
                progress.advance(len(part), "(unchanged)")
            else:
                ledger = {"inputs": inputs, **_generate(lm, lines, set_aside, out)}
                write_json(done, ledger)
                progress.advance(len(part))
            ledgers.append(ledger)
    for stale in sorted((out / "done").glob("part-*.json"))[len(parts) :]:
        stale.unlink()
    return _finish(ledgers, len(rows), out)


def _finish(ledgers: Sequence[dict], total: int, out: Path) -> dict:
    results, quarantine = (
        [row for ledger in ledgers for row in ledger[key]] for key in ("results", "quarantine")
    )
    write_jsonl(out / RESULTS, results)
    write_jsonl(out / QUARANTINE, quarantine)
    summary = {
        "n_prompts": total,
        "n_ok": len(results),
        "n_quarantined": len(quarantine),
        "reasons": count_reasons(quarantine),
    }
    write_json(out / SUMMARY, summary)
    return summary


def _read_part(
    rows: Sequence[tuple[int, dict | UserError]], folder: Path, options: Mapping[str, Any], seen: set[str]
) -> tuple[list[Line], list[dict]]:
    """The lines that can be read, and the others as lines of a quarantine. seen: ids so far."""
    lines, set_aside = [], []
    for number, row in rows:
        id = str(row.get("id", f"{number:06d}")) if isinstance(row, dict) else f"{number:06d}"
        try:
            if isinstance(row, UserError):
                raise BadRow("bad_json", row.what, row.value, row.rule, row.fix)
            lines.append(_read_line(number, id, row, folder, options))
            if id in seen:
                lines.pop()
                raise BadRow("duplicate_id", "id", id, "was seen before", "give each line its own")
            seen.add(id)
        except UserError as error:
            reason = error.reason if isinstance(error, BadRow) else "bad_prompt"
            set_aside.append(put_aside(id, None, reason, str(error), number))
    return lines, set_aside


def _read_line(number: int, id: str, row: dict, folder: Path, options: Mapping[str, Any]) -> Line:
    if not SAFE.fullmatch(id):
        rule, fix = "names a file: letters, digits, _, - and .", "rename it, or leave it out"
        raise BadRow("bad_id", "id", id[:40], rule, fix)
    if unknown := row.keys() - {"id", "prompt", *READERS}:
        rule = f"is none of id, prompt, {', '.join(READERS)}"
        raise BadRow("unknown_key", "key", min(unknown), rule, "correct or drop it")
    try:
        own = {name: row[name] for name in READERS if name in row}
        chosen = Options.from_mapping({**options, **own})
    except UserError as error:
        raise BadRow("bad_option", error.what, error.value, error.rule, error.fix) from error
    prompt = read_prompt(row.get("prompt"), lambda address: Path(join(folder, address)))
    audio = next((str(part) for part in prompt if isinstance(part, Sound)), None)
    return Line(number, id, Request(prompt, chosen), audio)


def _identify(lines: Sequence[Line], set_aside: Sequence[dict], model: str) -> str:
    """The inputs of a part: its lines, the sizes and times of their sounds, and the model."""
    stamps = [
        stamp_of(str(part)) for line in lines for part in line.request.prompt if isinstance(part, Sound)
    ]
    return fingerprint(model.encode(), repr(lines).encode(), json.dumps([stamps, set_aside]).encode())


def _generate(lm: SpiritLM, lines: Sequence[Line], set_aside: Sequence[dict], out: Path) -> dict:
    """Results and quarantine of a part. Speech is written before its result is."""
    quarantine, ready = list(set_aside), []
    for line, request in _hear(lm, lines, quarantine):
        try:
            (job,) = lm.plan([request])
            if request.options.modality is not Modality.TEXT:
                lm.codec.check_voice(request.options.speaker, request.options.style)
            ready.append((line, request, job))
        except UserError as error:
            quarantine.append(put_aside(line.id, line.audio, "bad_prompt", str(error), line.number))
    results = []
    for (line, request, _), found in zip(ready, jobs.generate(lm.llama, [job for *_, job in ready])):
        output = lm.read(request, found)
        files = save_speech(output, out / "wav", line.id)
        named = [file.relative_to(out) for file in files]
        row = {"id": line.id, "line": line.number, **summarize_output(output, named)}
        results.append({**row, "parts": describe_parts(output, named)})
    return {"results": results, "quarantine": sorted(quarantine, key=lambda row: row["line"])}


def _hear(lm: SpiritLM, lines: Sequence[Line], quarantine: list[dict]) -> list[tuple[Line, Request]]:
    """The lines whose sounds can be used, with codes in place of them; adds the others to the quarantine."""
    loaded: list[tuple[Line, list[Input]]] = []
    for line in lines:
        try:
            loaded.append((line, load_sounds(line.request.prompt)))
        except BadSound as error:
            quarantine.append(put_aside(line.id, line.audio, error.reason, str(error), line.number))
    sounds = [part for _, parts in loaded for part in parts if isinstance(part, Sound)]
    heard = iter(lm.listen(sounds) if sounds else [])
    return [
        (line, Request([next(heard) if isinstance(p, Sound) else p for p in parts], line.request.options))
        for line, parts in loaded
    ]
