import { drawn } from "../dom.js";

export const LANE_PX = 40; // the height of a lane
export const GAP_PX = 6; // between two lanes
const LABEL_PX = 14; // above a box's bar
const DIGIT_PX = 6.2;
const LEAST_DIGITS = 2; // there must be room for, so that not single codes alone have labels

/** What is said of a token. */
export function describe({ string, kind, logProb }, { seconds }) {
  const chance = Math.exp(logProb);
  const percent = chance < 0.01 ? "under 1 %" : `${Math.round(100 * chance)} %`;
  const time = seconds === null ? "" : `, at ${seconds.toFixed(2)} s`;
  return `${string.trim() || "blank"}, ${kind}${time}, probability ${percent} (log ${logProb.toFixed(2)})`;
}

/** A mark of the axis. height: of all lanes. */
export function drawTick({ x, label }, height) {
  const line = drawn("line", { class: "tick", x1: x, x2: x, y1: 0, y2: height });
  return [line, drawn("text", { class: "time", x: x + 3, y: height + 15 }, label)];
}

/** A token: its box, a bar as high as it was probable, and its label where it fits. lanes: their names. */
export function drawBox({ string, kind, logProb }, { lane, x, width }, index, lanes) {
  const y = lanes.indexOf(lane) * (LANE_PX + GAP_PX);
  const gap = width > 4 ? 1 : 0.5;
  const bar = Math.exp(logProb) * (LANE_PX - LABEL_PX);
  const box = { x, width: width - gap, rx: Math.min(3, width / 4) };
  const group = drawn("g", { class: `kind ${kind}`, "data-index": index });
  group.append(
    drawn("rect", { ...box, class: "box", y, height: LANE_PX }),
    drawn("rect", { ...box, class: "bar", y: y + LANE_PX - bar, height: bar }),
  );
  const label = lane === "text" ? string : string.replace(/\D/g, "");
  const fits = lane === "text" || Math.max(label.length, LEAST_DIGITS) * DIGIT_PX + 3 <= width;
  if (fits) group.append(drawn("text", { x: x + (width - gap) / 2, y: y + 11 }, label.trim()));
  return group;
}
