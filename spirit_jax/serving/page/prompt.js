import { count, duration, element, playerOf } from "./dom.js";
import { toBase64 } from "./sound/wav.js";

/**
 * The prompt: a list of parts that can be added, edited, moved and removed. A part is one of
 * {kind: "text", text}, {kind: "audio", name, blob, url}, {kind: "tokens", string, url (of its sound, if known)}.
 */
export class Prompt {
  #list;
  #say;
  #parts = []; // {part, item}

  /** list: the <ol>. say: is called with what a screen reader should say. */
  constructor(list, say) {
    this.#list = list;
    this.#say = say;
    list.addEventListener("keydown", (event) => this.#onKey(event));
  }

  /** What was given: texts without letters are left out. */
  get parts() {
    return this.#parts.map(({ part }) => ({ ...part })).filter((part) => part.kind !== "text" || part.text.trim());
  }

  add(part, focus = true) {
    const item = element("li", { className: "part" });
    item.append(head(part, this.#buttons(item)), BODIES[part.kind](part));
    this.#parts.push({ part, item });
    this.#list.append(item);
    this.#number();
    if (focus) (item.querySelector("textarea") ?? item.querySelector("button")).focus();
  }

  #buttons(item) {
    const button = (sign, label, act) => {
      const made = element("button", { type: "button", className: "small", "aria-label": label }, sign);
      made.addEventListener("click", act);
      return made;
    };
    return [
      button("↑", "Move up", () => this.#move(item, -1)),
      button("↓", "Move down", () => this.#move(item, 1)),
      button("✕", "Remove", () => this.#remove(item)),
    ];
  }

  #onKey(event) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!event.altKey || !step) return;
    event.preventDefault();
    this.#move(event.target.closest(".part"), step);
  }

  #move(item, step) {
    const from = this.#indexOf(item);
    const to = from + step;
    if (to < 0 || to >= this.#parts.length) return;
    const focused = document.activeElement;
    const [moved] = this.#parts.splice(from, 1);
    this.#parts.splice(to, 0, moved);
    const anchor = this.#list.children[step > 0 ? to + 1 : to] ?? null;
    this.#list.insertBefore(item, anchor);
    this.#number();
    focused.focus(); // an element that moves in the page loses it
    this.#say(`Moved to place ${to + 1} of ${this.#parts.length}.`);
  }

  #remove(item) {
    const at = this.#indexOf(item);
    this.#parts.splice(at, 1);
    item.remove();
    this.#number();
    const next = this.#list.children[at] ?? this.#list.lastElementChild;
    (next?.querySelector("textarea, button") ?? document.getElementById("add-text")).focus();
    this.#say(`Removed. ${count(this.#parts.length, "part")} left.`);
  }

  #indexOf(item) {
    return this.#parts.findIndex((one) => one.item === item);
  }

  #number() {
    this.#parts.forEach(({ item }, index) => item.setAttribute("aria-label", `Part ${index + 1}`));
  }
}

/** The parts as the service takes them. */
export function toRequest(parts) {
  return Promise.all(
    parts.map(async (part) => {
      if (part.kind === "audio") return { audio: await toBase64(part.blob) };
      return part.kind === "tokens" ? { tokens: part.string } : { text: part.text };
    }),
  );
}

/** What a part of speech is called. */
export function nameOf(part) {
  return part.kind === "audio" ? part.name : count(part.string.split("[").length - 1, "speech token");
}

const TITLES = { text: "Text", audio: "Sound", tokens: "Speech" };

const BODIES = {
  text: (part) => {
    const area = element("textarea", { rows: 2, value: part.text, "aria-label": "Text" });
    area.addEventListener("input", () => (part.text = area.value));
    return area;
  },
  audio: (part) => {
    const length = element("span", { className: "hint" });
    const player = playerOf(part.url, part.name);
    player.addEventListener("loadedmetadata", () => (length.textContent = duration(player.duration)));
    return element("div", {}, element("p", { className: "name" }, `${part.name} `, length), player);
  },
  tokens: (part) => {
    const line = element("p", { className: "name" }, nameOf(part));
    return element("div", {}, line, ...(part.url ? [playerOf(part.url, "Its sound")] : []));
  },
};

function head(part, buttons) {
  const title = element("span", { className: "label" }, TITLES[part.kind]);
  return element("div", { className: "part-head" }, title, element("span", { className: "moves" }, ...buttons));
}
