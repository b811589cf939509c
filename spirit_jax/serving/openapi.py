"""The interface as an OpenAPI document, which `/openapi.json` serves."""

from typing import Any

import spirit_jax
from spirit_jax.generation.options import READERS
from spirit_jax.serving.messages.sounds import FILES, PCM
from spirit_jax.serving.routes import speech, transcription
from spirit_jax.tokens.prompt_format import Task
from spirit_jax.tokens.vocabulary import Modality

Schema = dict[str, Any]
TEXT, NUMBER, WHOLE, FLAG = ({"type": name} for name in ("string", "number", "integer", "boolean"))
EVENTS, JSON, FORM = "text/event-stream", "application/json", "multipart/form-data"


def _object(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _about(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description}


def _one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def _content(kind: str, schema: Schema) -> Schema:
    return {"content": {kind: {"schema": schema}}}


def _answers(description: str, contents: Schema) -> Schema:
    errors = {status: {"$ref": "#/components/responses/Error"} for status in STATUSES}
    return {"200": {"description": description, "content": contents}, **errors}


STATUSES = ("400", "401", "403", "404", "408", "413", "415", "429", "500", "503", "504")
ERROR = _object(("error",), error=_object(("message", "type", "code"), message=TEXT, type=TEXT, code=TEXT))
OPTIONS: dict[str, Schema] = {
    "task": _about(_one_of(*(task.value for task in Task)), "default: continue"),
    "output": _about(_one_of(*(made.value for made in Modality)), "of continue; default: text"),
    "temperature": _about(NUMBER, "0 takes the likeliest token; default: 0.8 to continue, otherwise 0"),
    "top_p": _about(NUMBER, "draws from the fewest tokens that together have this probability"),
    "top_k": _about(WHOLE, "draws from so many likeliest tokens"),
    "repetition_penalty": _about(NUMBER, "divides the logits of tokens that occurred; 1 for none"),
    "max_new_tokens": _about(
        WHOLE, "default: 50 for text, 200 or 300 for speech, the prompt's for a transcript"
    ),
    "seed": _about(WHOLE, "the same seed gives the same answer; default: 0"),
    "stop": _about({"oneOf": [TEXT, _list(TEXT)]}, "a text ends before the first of these strings"),
    "speaker": _about(WHOLE, "a number below speakers of /v1/model"),
    "style": _about(WHOLE, "a number below styles of /v1/model"),
    "published_rules": _about(FLAG, "forbids the ids that the published release forbids"),
}
assert OPTIONS.keys() == READERS.keys()
PART = {
    "oneOf": [
        _object(("text",), text=TEXT),
        _object(("audio",), audio=_about(TEXT, "base64 of a sound file: wav, flac, ogg or mp3")),
        _object(("tokens",), tokens=_about(TEXT, "speech as tokens, such as [Hu3][Hu5]")),
    ]
}
PROMPT = {"oneOf": [TEXT, _list(PART)]}
TOKENS = {"ids": _list(WHOLE), "log_probs": _list(NUMBER)}
ANSWER = _object(
    ("id", "finish", "text", "log_prob", "tokens", "parts"),
    id=TEXT,
    finish=_one_of("eos", "stop", "limit"),
    text=_about(TEXT, "all text, joined by spaces"),
    log_prob=_about({"type": ["number", "null"]}, "the mean of the tokens', in nats; null without tokens"),
    tokens=_about(WHOLE, "new tokens"),
    parts=_list(
        {
            "oneOf": [
                _object(("kind", "text", "ids", "log_probs"), kind=_one_of("text"), text=TEXT, **TOKENS),
                _object(
                    ("kind", "string", "ids", "log_probs", "rate"),
                    kind=_one_of("speech"),
                    string=_about(TEXT, "its tokens"),
                    **TOKENS,
                    rate=WHOLE,
                    audio=_about(TEXT, "base64 of a wav; missing in the event done"),
                ),
            ]
        }
    ),
)
GENERATE_EVENTS = (
    "Server-sent events. tokens: {ids, log_probs, strings, kinds}. text: {part, text}, further letters of "
    "the part with this number. sound: {part, rate, pcm}, further little-endian 16-bit samples in base64. "
    "done: the answer without audio. error, instead of done. What was sent never changes."
)
SPEECH = _object(
    ("model", "input", "voice"),
    model=TEXT,
    input=TEXT,
    voice=_about(TEXT, "default, or the number of a speaker"),
    response_format=_about(
        _one_of(*FILES, PCM), "default: mp3; pcm is 24 kHz, 16 bit, and comes as it is made"
    ),
    stream_format=_about(_one_of("audio", "sse"), "default: audio"),
    speed=_about(NUMBER, "1 alone"),
    instructions=_about(TEXT, "empty alone"),
    **{name: OPTIONS[name] for name in speech.EXTRA},
)
TRANSCRIPTION = _object(
    ("file", "model"),
    file={"type": "string", "format": "binary"},
    model=TEXT,
    response_format=_about(_one_of(*transcription.FORMATS), "default: json"),
    temperature=OPTIONS["temperature"],
    seed=OPTIONS["seed"],
    stream=FLAG,
    **{"include[]": _one_of("logprobs")},
)
USAGE = {"type": "object"}
TRANSCRIPT = _object(
    ("text", "usage"), text=TEXT, usage=USAGE, logprobs=_list({"type": "object"}), task=TEXT, language=TEXT,
    duration=NUMBER,
)  # fmt: skip
MODEL = _object(
    ("id", "streams", "rate", "speakers", "styles", "tasks", "outputs", "longest_tokens", "limits",
     "streaming_sound"),
    id=TEXT,
    streams=_list(_object(("name", "mark", "size", "rate"), name=TEXT, mark=TEXT, size=WHOLE, rate=NUMBER)),
    rate=_about(WHOLE, "samples a second of all sound"),
    speakers=_about(WHOLE, "0 where there is none to choose"),
    styles=WHOLE,
    tasks=_list(TEXT),
    outputs=_list(TEXT),
    longest_tokens=_about(WHOLE, "prompt and new tokens together"),
    limits=_object((), body_bytes=WHOLE, seconds_of_sound=NUMBER, waiting=WHOLE),
    streaming_sound=_about(FLAG, "whether sound comes before its speech has ended"),
)  # fmt: skip
BINARY = {"type": "string", "format": "binary"}


def _post(about: str, kind: str, body: Schema, contents: Schema) -> Schema:
    request = {"required": True, **_content(kind, body)}
    return {"post": {"summary": about, "requestBody": request, "responses": _answers(about, contents)}}


def _get(about: str, kind: str = JSON, schema: Schema | None = None, **more: Any) -> Schema:
    contents = {kind: {"schema": schema or {"type": "object"}}}
    return {"get": {"summary": about, "responses": _answers(about, contents), **more}}


NAMED = {"name": "model", "in": "path", "required": True, "schema": TEXT}
DOCUMENT: Schema = {
    "openapi": "3.1.0",
    "info": {
        "title": "spirit_jax",
        "version": spirit_jax.__version__,
        "description": "A model over text and speech.",
    },
    "security": [{"token": []}],
    "paths": {
        "/v1/generate": _post(
            "Continues, transcribes or speaks a prompt of text and speech",
            JSON,
            _object(("prompt",), prompt=PROMPT, stream=_about(FLAG, "answer with events"), **OPTIONS),
            {JSON: {"schema": ANSWER}, EVENTS: {"schema": _about(TEXT, GENERATE_EVENTS)}},
        ),
        "/v1/audio/speech": _post(
            "Reads a text aloud, as OpenAI's API",
            JSON,
            SPEECH,
            {**{kind: {"schema": BINARY} for *_, kind in FILES.values()}, "audio/pcm": {"schema": BINARY}}
            | {EVENTS: {"schema": _about(TEXT, "events speech.audio.delta and speech.audio.done")}},
        ),
        "/v1/audio/transcriptions": _post(
            "Writes a recording down, as OpenAI's API",
            FORM,
            TRANSCRIPTION,
            {JSON: {"schema": TRANSCRIPT}, "text/plain": {"schema": TEXT}}
            | {EVENTS: {"schema": _about(TEXT, "events transcript.text.delta and transcript.text.done")}},
        ),
        "/v1/model": _get("What can be asked of the model", schema=MODEL),
        "/v1/models": _get("The model, in OpenAI's form"),
        "/v1/models/{model}": _get("The same, by its name", parameters=[NAMED]),
        "/healthz": _get("Whether the process works"),
        "/readyz": _get("Whether requests are taken"),
        "/metrics": _get("Counters for Prometheus", "text/plain", TEXT),
        "/openapi.json": _get("This document"),
        "/": _get("The page", "text/html", TEXT),
    },
    "components": {
        "responses": {"Error": {"description": "what is wrong", **_content(JSON, ERROR)}},
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    },
}
