/** Server-sent events whose data is JSON, from text that comes in any pieces. */
export class EventParser {
  #rest = "";
  #name = "message";
  #data = [];

  /** The events that are complete with this text: {name, data} each. */
  feed(text) {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop();
    return lines.flatMap((line) => this.#read(line.replace(/\r$/, "")));
  }

  #read(line) {
    if (line === "") return this.#dispatch();
    const [, field, value] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
    if (field === "event") this.#name = value;
    if (field === "data") this.#data.push(value ?? "");
    return [];
  }

  #dispatch() {
    const found = this.#data.length ? [{ name: this.#name, data: JSON.parse(this.#data.join("\n")) }] : [];
    this.#name = "message";
    this.#data = [];
    return found;
  }
}

/** The events of a response's body, as they come. */
export async function* readEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield* parser.feed(value);
  }
}
