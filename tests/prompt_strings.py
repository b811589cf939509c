"""Prompt strings such as `[Text]the cat[Speech][Hu3]` as ids: what an exported tokenizer must
give for them.
"""

import re

import numpy as np

TOKEN = re.compile(r"\[(?:(Text|Speech)|([A-Za-z]+)(0|[1-9][0-9]*))\]")


def parse_prompt(string, vocabulary, encode) -> np.ndarray:
    """int32, without BOS: tags and speech tokens become their ids, the rest goes through `encode`."""
    marks = [stream.mark for stream in vocabulary.streams]
    parts, end = [np.zeros(0, np.int32)], 0
    for match in TOKEN.finditer(string):
        tag, mark, code = match.groups()
        if mark is not None and mark not in marks:
            continue
        parts.append(encode(string[end : match.start()]) if match.start() > end else [])
        if tag:
            parts.append([vocabulary.text_tag if tag == "Text" else vocabulary.speech_tag])
        else:
            parts.append(vocabulary.encode_stream(np.array([marks.index(mark)]), np.array([int(code)])))
        end = match.end()
    parts.append(encode(string[end:]) if end < len(string) else [])
    return np.concatenate([np.asarray(part, np.int32) for part in parts])
