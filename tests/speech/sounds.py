"""Encoded sound in memory, whole, cut and joined, and FLAC in unusual wrappings."""

import io
import struct

import numpy as np
import soundfile

FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
}


def sweep(seconds: float, rate: int = 16_000) -> np.ndarray:
    """A tone whose pitch and level change, so that no two moments are alike: float32 [samples]."""
    t = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).standard_normal(len(t))
    return (0.3 * np.sin(2 * np.pi * (150 + 20 * t) * t) + 0.003 * noise).astype(np.float32)


def encoded(suffix: str, wav: np.ndarray, rate: int = 16_000) -> bytes:
    """The bytes of a sound file."""
    file = io.BytesIO()
    kind, subtype = FORMATS[suffix]
    soundfile.write(file, wav, rate, format=kind, subtype=subtype)
    return file.getvalue()


def state_length(flac: bytes, samples: int) -> bytes:
    """The FLAC file with another number of samples in its header; 0 means unknown."""
    assert flac[:4] == b"fLaC"
    head = bytearray(flac)
    head[21] = head[21] & 0xF0 | samples >> 32
    head[22:26] = (samples & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(head)


def wrap_in_ogg(flac: bytes) -> bytes:
    """A FLAC stream in Ogg pages: the header and STREAMINFO in the first, then its frames in packets of any
    size, since a reader joins them.
    """
    frames = flac[flac.index(b"\xff\xf8", 42) :]
    packets = [b"\x7fFLAC\x01\x00\x00\x00fLaC\x80" + flac[5:42]]
    packets += [frames[at : at + 8_000] for at in range(0, len(frames), 8_000)]
    pages = []
    for number, packet in enumerate(packets):
        flags = (2 if number == 0 else 0) | (4 if number == len(packets) - 1 else 0)
        sizes = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
        head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, 0, 7, number, 0, len(sizes))
        pages.append(head + sizes + packet)
    return b"".join(pages)


def without_header(mp3: bytes) -> bytes:
    """The mp3 without its first frame, which says how many there are."""
    assert mp3.find(b"Xing", 0, 64) > 0 or mp3.find(b"Info", 0, 64) > 0
    return mp3[mp3.index(mp3[:2], 64) :]
