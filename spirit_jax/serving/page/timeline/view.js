import { describe, drawBox, drawTick, GAP_PX, LANE_PX } from "./boxes.js";
import { drawn, element } from "../dom.js";
import { layOut, placeOf } from "./layout.js";

const AXIS_PX = 24;
const EDGE_PX = 2; // around the boxes, for the cursor
const TIME_PX = 32; // for the letters of the last mark of the axis
const ZOOMS_PX = [3, 6, 12, 20, 32]; // widths of a unit
const [NARROWEST_BY_ITSELF, WIDEST_BY_ITSELF] = [1, 3]; // places in ZOOMS_PX, before a button is pressed
const PAGE_KEYS = 10; // tokens that Page Up and Page Down pass over

/** The tokens of an answer on a time axis, with a cursor that keys and the pointer move, and as a table.
 * Fires `seek` with the seconds of a token that was clicked. */
export class TimelineView extends EventTarget {
  #tokens = [];
  #sounds = new Map();
  #rate;
  #zoom = WIDEST_BY_ITSELF; // a place in ZOOMS_PX
  #chosen = false; // by the buttons
  #cursor = 0;
  #layout = null;
  #due = false;

  #lanes = element("ul", { className: "lanes" });
  #picture = drawn("svg", { "aria-hidden": "true" });
  #mark = drawn("rect", { class: "cursor", rx: 3 });
  #playhead = drawn("rect", { class: "playhead", width: 2, y: 0 });
  #scroller = element("div", { className: "scroller", role: "slider", tabIndex: 0, "aria-label": "Tokens" });
  #readout = element("p", { className: "readout" });
  #table = element("tbody");

  /** rate: units a second. */
  constructor(rate) {
    super();
    this.#rate = rate;
    this.#scroller.append(this.#picture);
    this.#scroller.addEventListener("keydown", (event) => this.#onKey(event));
    this.#scroller.addEventListener("pointerover", (event) => this.#point(event));
    this.#scroller.addEventListener("click", (event) => this.#point(event, true));
    this.element = element(
      "figure",
      { className: "timeline", hidden: true },
      element(
        "figcaption",
        {},
        element("span", {}, "Tokens. A box's bar is as high as the token was probable."),
        this.#zoomButton("−", "Narrower tokens", -1),
        this.#zoomButton("+", "Wider tokens", 1),
      ),
      element("div", { className: "axis" }, this.#lanes, this.#scroller),
      this.#readout,
      this.#details(),
    );
  }

  /** tokens: {id, string, kind, logProb}. sounds: see soundsOfRuns of layout.js. Draws soon. */
  update(tokens, sounds = this.#sounds) {
    this.#tokens = tokens;
    this.#sounds = sounds;
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.#draw();
    });
  }

  /** Moves the line that shows what is heard. seconds: of the whole sound; null hides it. */
  setPosition(seconds) {
    const shown = seconds !== null && this.#layout?.spans.length > 0;
    this.#playhead.classList.toggle("shown", shown);
    if (!shown) return;
    const x = placeOf(this.#layout.spans, seconds);
    this.#playhead.setAttribute("x", x);
    const { scrollLeft, clientWidth } = this.#scroller;
    if (x < scrollLeft || x > scrollLeft + clientWidth - 12) this.#scroller.scrollLeft = x - 24;
  }

  #draw() {
    if (!this.#tokens.length) return;
    this.element.hidden = false;
    this.#layout = this.#layOut();
    const names = [...new Set(this.#layout.boxes.map((box) => box.lane))].sort(byPlace);
    const height = names.length * (LANE_PX + GAP_PX);
    this.#lanes.replaceChildren(...names.map((name) => element("li", { className: `kind ${name}` }, name)));
    const [wide, high] = [this.#layout.width + TIME_PX, height + AXIS_PX];
    const size = { width: wide, height: high, viewBox: `${-EDGE_PX} ${-EDGE_PX} ${wide} ${high}` };
    for (const [name, value] of Object.entries(size)) this.#picture.setAttribute(name, value);
    this.#playhead.setAttribute("height", height);
    this.#picture.replaceChildren(
      ...this.#layout.ticks.flatMap((tick) => drawTick(tick, height)),
      ...this.#layout.boxes.map((box, index) => drawBox(this.#tokens[index], box, index, names)),
      this.#mark,
      this.#playhead,
    );
    this.#select(Math.min(this.#cursor, this.#tokens.length - 1));
    this.#fillTable();
  }

  /** As wide as fits, unless a button was pressed. */
  #layOut() {
    const laid = layOut(this.#tokens, this.#rate, ZOOMS_PX[this.#zoom], this.#sounds);
    const fits = laid.width + TIME_PX <= this.#scroller.clientWidth;
    if (this.#chosen || fits || this.#zoom === NARROWEST_BY_ITSELF) return laid;
    this.#zoom -= 1;
    return this.#layOut();
  }

  #select(index) {
    this.#cursor = index;
    const { x, width } = this.#layout.boxes[index];
    const box = this.#picture.querySelector(`[data-index="${index}"] rect`);
    const frame = { x: x - 1, width: width + 1, y: box.getAttribute("y") - 1, height: LANE_PX + 2 };
    for (const [name, value] of Object.entries(frame)) this.#mark.setAttribute(name, value);
    const said = `${describe(this.#tokens[index], this.#layout.boxes[index])}, ${index + 1} of ${this.#tokens.length}`;
    this.#readout.textContent = said;
    for (const [name, value] of [["min", 1], ["max", this.#tokens.length], ["now", index + 1], ["text", said]])
      this.#scroller.setAttribute(`aria-value${name}`, value);
  }

  #onKey(event) {
    const last = this.#tokens.length - 1;
    const targets = {
      ArrowLeft: this.#cursor - 1,
      ArrowRight: this.#cursor + 1,
      PageUp: this.#cursor - PAGE_KEYS,
      PageDown: this.#cursor + PAGE_KEYS,
      Home: 0,
      End: last,
    };
    if (!(event.key in targets)) return;
    event.preventDefault();
    this.#select(Math.max(0, Math.min(last, targets[event.key])));
    const { x, width } = this.#layout.boxes[this.#cursor];
    const { scrollLeft, clientWidth } = this.#scroller;
    if (x < scrollLeft || x + width > scrollLeft + clientWidth)
      this.#scroller.scrollLeft = x + width / 2 - clientWidth / 2;
  }

  #point(event, chosen = false) {
    const box = event.target.closest("[data-index]");
    if (!box) return;
    this.#select(Number(box.dataset.index));
    const { seconds } = this.#layout.boxes[this.#cursor];
    if (chosen && seconds !== null) this.dispatchEvent(new CustomEvent("seek", { detail: seconds }));
  }

  #zoomButton(sign, label, step) {
    const button = element("button", { type: "button", className: "small", "aria-label": label }, sign);
    button.addEventListener("click", () => {
      this.#chosen = true;
      this.#zoom = Math.max(0, Math.min(ZOOMS_PX.length - 1, this.#zoom + step));
      this.#draw();
    });
    return button;
  }

  #details() {
    const heads = ["token", "kind", "time", "log-probability"];
    const head = element("tr", {}, ...heads.map((name) => element("th", { scope: "col" }, name)));
    const table = element("table", {}, element("thead", {}, head), this.#table);
    const details = element("details", {}, element("summary", {}, "As a table"), table);
    details.addEventListener("toggle", () => this.#fillTable());
    return details;
  }

  #fillTable() {
    if (!this.#table.closest("details").open) return;
    const rows = this.#tokens.map(({ string, kind, logProb }, index) => {
      const { seconds } = this.#layout.boxes[index];
      const cells = [string, kind, seconds === null ? "" : `${seconds.toFixed(2)} s`, logProb.toFixed(2)];
      return element("tr", {}, ...cells.map((cell) => element("td", {}, cell)));
    });
    this.#table.replaceChildren(...rows);
  }
}

/** Text first, then units, then other streams by name. */
function byPlace(a, b) {
  const place = (name) => ["text", "units"].indexOf(name) + 1 || 3;
  return place(a) - place(b) || a.localeCompare(b);
}
