"""Token strings in the published release's own form, with every quirk: units as words of a string, options
for each stream. The product has the plain form (`spirit_jax.tokens.strings`).
"""

import numpy as np

MISSING_STYLES = (71, 68, 98)  # pitch without style: the release draws one of these
MARKS = {"Hu": "hubert", "Pi": "pitch", "St": "style"}


def units_to_string(
    units,
    hubert_dedup=True,
    pitch_dedup=True,
    style_dedup=False,
    hubert_key="hubert",
    pitch_key="pitch",
    style_key="style",
    has_pitch=False,
    has_style=False,
    hubert_rate=24.99,
    pitch_rate=12.5,
    style_rate=1,
):
    """Codes are taken letter by letter (`007` is not `7`); equal times keep the order style, pitch, unit."""
    tokens = []
    for mark, key, present, rate, deduplicate in (
        ("St", style_key, has_style, style_rate, style_dedup),
        ("Pi", pitch_key, has_pitch, pitch_rate, pitch_dedup),
        ("Hu", hubert_key, True, hubert_rate, hubert_dedup),
    ):
        codes = units[key].split() if present else []
        kept = [i for i in range(len(codes)) if not deduplicate or i == 0 or codes[i] != codes[i - 1]]
        tokens += [(i / rate, f"[{mark}{codes[i]}]") for i in kept]
    return "".join(token for _, token in sorted(tokens, key=lambda token: token[0]))


def string_to_units(
    string,
    duplicate_hubert_for_multiple_pitch=False,
    hubert_key="hubert",
    pitch_key="pitch",
    style_key="style",
    missing_style=MISSING_STYLES[0],
):
    """Each unit takes the codes before it, or the first of the string. Repeated pitches without any unit
    raise TypeError; with `duplicate_hubert_for_multiple_pitch` a unit is said once more for each further
    pitch.
    """
    parts = [part for part in string.split("[") if part[:2] in MARKS and part[2:3].isdigit()]
    tokens = [(MARKS[part[:2]], part[2:-1]) for part in parts]
    now = {}
    for name, value in tokens:
        now.setdefault(name, value)
    seen, rows, last = set(now), [], None
    for name, value in tokens:
        now[name] = value
        if name == "hubert" or (duplicate_hubert_for_multiple_pitch and name == "pitch" == last):
            rows.append(dict(now))
        last = last if name == "style" else name
    if rows and "hubert" not in now:
        raise TypeError("repeated pitches without any unit")
    keys = {"hubert": hubert_key, "pitch": pitch_key, "style": style_key}
    units = {hubert_key: " ".join(row["hubert"] for row in rows)}
    units |= {keys[name]: " ".join(row[name] for row in rows) for name in ("pitch", "style") if name in seen}
    if "pitch" in seen and "style" not in seen:
        units[style_key] = " ".join([str(missing_style)] * len(rows))
    return units


def plain_codes(units, keys) -> dict[str, np.ndarray] | None:
    """The words of each key as codes, or None where one is no plain number."""
    words = {name: units[key].split() for name, key in keys.items() if key in units}
    if not all(word.isdecimal() and str(int(word)) == word for row in words.values() for word in row):
        return None
    return {name: np.array(row, np.int64).astype(np.int32) for name, row in words.items()}
