/**
 * Where tokens are drawn on a time axis.
 *
 * Only speech has time. A run of speech is as wide as its sound is long, its units evenly spread; before the
 * sound is known, a unit lasts one code of its stream. The tokens of other streams hold from the unit after
 * them to the next of their kind. A text token is as wide as its letters.
 */

const LETTER_PX = 6.7;
const PADDING_PX = 10;
const LEAST_PX = 4;
const TICK_PX = 52; // at least between two marks of the axis
const TICKS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10];

const NO_SPEECH = ["text", "tag", "padding"];

/** Runs of equal modality in tokens: {kind: "text", "tag", "padding" or "speech", first, last (exclusive)}. */
export function findRuns(tokens) {
  const runs = [];
  tokens.forEach((token, index) => {
    const kind = NO_SPEECH.includes(token.kind) ? token.kind : "speech";
    if (runs.at(-1)?.kind === kind) runs.at(-1).last = index + 1;
    else runs.push({ kind, first: index, last: index + 1 });
  });
  return runs;
}

/** The sound's seconds of each run of speech, by the index of its first token.
 * parts: of a finished answer, {kind, ids}. seconds: of each part's sound, by the part's number. */
export function soundsOfRuns(tokens, parts, seconds) {
  const found = new Map();
  const runs = findRuns(tokens).filter((run) => run.kind === "speech");
  parts.forEach((part, number) => {
    if (part.kind !== "speech") return;
    while (runs.length) {
      const run = runs.shift();
      if (run.last - run.first !== part.ids.length || tokens[run.first].id !== part.ids[0]) continue;
      if (seconds[number]) found.set(run.first, seconds[number]);
      return;
    }
  });
  return found;
}

/**
 * tokens: {string, kind}. rate: units a second. unitPx: the width of a unit that lasts 1 / rate.
 * sounds: see soundsOfRuns. Returns {boxes, spans, ticks, width}: a box for each token {lane, x, width,
 * seconds (null for text)}, spans of the axis that have time {x, width, begin, seconds}, and marks {x, label}.
 */
export function layOut(tokens, rate, unitPx, sounds = new Map()) {
  const [boxes, spans] = [[], []];
  let [x, begin] = [0, 0];
  for (const run of findRuns(tokens)) {
    const some = tokens.slice(run.first, run.last);
    if (run.kind === "speech") {
      const span = spanOf(some, rate, unitPx, sounds.get(run.first));
      boxes.push(...speechBoxes(some, { ...span, x, begin }));
      spans.push({ x, width: span.width, begin, seconds: span.seconds });
      x += span.width;
      begin += span.seconds;
    } else {
      for (const token of some) {
        const width = token.string.length * LETTER_PX + PADDING_PX;
        boxes.push({ lane: "text", x, width, seconds: null });
        x += width;
      }
    }
  }
  return { boxes, spans, ticks: spans.flatMap((span) => ticksOf(span, rate * unitPx)), width: x };
}

/** Where a moment of the whole answer's sound is. */
export function placeOf(spans, seconds) {
  const span = spans.findLast((one) => one.begin <= seconds) ?? spans[0];
  return span.x + Math.min(1, (seconds - span.begin) / span.seconds) * span.width;
}

function spanOf(tokens, rate, unitPx, sound) {
  const units = Math.max(1, tokens.filter((token) => token.kind === "units").length);
  const seconds = sound ?? units / rate;
  const width = seconds * rate * unitPx;
  return { units, seconds, width };
}

function speechBoxes(tokens, { units, seconds, width, x, begin }) {
  const step = width / units;
  const open = new Map(); // the last box of each lane but the units
  const boxes = [];
  let before = 0;
  for (const { kind } of tokens) {
    const at = Math.min(before, units - 1);
    const box = { lane: kind, x: x + at * step, width: step, seconds: begin + (at / units) * seconds };
    if (kind === "units") before += 1;
    else {
      const last = open.get(kind);
      if (last) last.width = Math.max(LEAST_PX, box.x - last.x);
      open.set(kind, box);
      box.width = Math.max(LEAST_PX, x + width - box.x);
    }
    boxes.push(box);
  }
  return boxes;
}

function ticksOf({ x, begin, seconds }, pxPerSecond) {
  const step = TICKS_S.find((one) => one * pxPerSecond >= TICK_PX) ?? TICKS_S.at(-1);
  const ticks = [];
  for (let n = Math.ceil(begin / step - 1e-9); n * step < begin + seconds - 1e-9; n += 1)
    ticks.push({ x: x + (n * step - begin) * pxPerSecond, label: `${+(n * step).toFixed(1)} s` });
  return ticks;
}
