import { count, duration, element, playerOf } from "./dom.js";
import { Player } from "./sound/player.js";
import { nameOf } from "./prompt.js";
import { findRuns, soundsOfRuns } from "./timeline/layout.js";
import { TimelineView } from "./timeline/view.js";
import { decodePcm, encodeWav } from "./sound/wav.js";

const FINISHES = {
  eos: "ended by itself",
  stop: "ended at a stop",
  limit: "ended at its limit of tokens",
  stopped: "stopped",
  broken: "broken off",
};

/** A prompt and its answer, which grows. */
export class Turn {
  #model;
  #tokens = [];
  #sounds = []; // by part: {rate, pieces}
  #texts = new Map(); // by part: the paragraph
  #player = null;
  #audio = null;
  #began = performance.now();
  #firstSound = null;
  #frame = 0;

  #answer = element("div", { className: "answer", "aria-live": "polite", "aria-busy": "true" });
  #toggle = element("button", { type: "button", className: "toggle", hidden: true });
  #sound = element("div", { className: "sound" }, this.#toggle);
  #facts = element("p", { className: "facts" });
  #timeline;

  /** model: what the service says of itself. parts: of the prompt. sound: whether some can be `made`, and
   * whether it plays by itself as it comes (`autoplay`). */
  constructor(model, parts, title, sound) {
    this.#model = model;
    if (sound.made) this.#openPlayer(sound.autoplay);
    this.#timeline = new TimelineView(model.streams[0]?.rate);
    this.#timeline.addEventListener("seek", (event) => this.#seek(event.detail));
    this.#answer.append(element("p", { className: "waiting" }, "…"));
    this.element = element(
      "article",
      { className: "turn", "aria-label": title },
      element("h3", {}, title),
      element("div", { className: "asked" }, ...parts.map(shown)),
      this.#answer,
      this.#sound,
      this.#timeline.element,
      this.#facts,
    );
  }

  /** Whether anything has come. */
  get begun() {
    return this.#tokens.length > 0;
  }

  /** Takes an event of the answer. */
  take({ name, data }) {
    if (name === "tokens") this.#addTokens(data);
    if (name === "text") this.#addText(data);
    if (name === "sound") this.#addSound(data);
    if (name === "done") this.#finish(data);
  }

  /** Ends an answer that did not come to its end. why: "stopped" or "broken". */
  breakOff(why) {
    this.#close([`The answer was ${FINISHES[why]}`, count(this.#tokens.length, "token")]);
  }

  /** Pauses the sound that plays as it comes. */
  pause() {
    this.#player?.pause();
  }

  /** The answer as parts of a prompt. Texts are as they were sent, speech is its tokens. */
  get parts() {
    const texts = [...this.#texts].sort(([a], [b]) => a - b).map(([, line]) => line.textContent);
    const url = this.#sounds.filter(Boolean).length === 1 ? this.#audio?.src : undefined;
    const found = findRuns(this.#tokens).map(({ kind, first, last }) => {
      if (kind === "text") return { kind, text: texts.shift() ?? "" };
      const some = this.#tokens.slice(first, last);
      return kind === "speech" && { kind: "tokens", string: some.map((token) => token.string).join(""), url };
    });
    return found.filter((part) => part && part.text !== "");
  }

  /** Browsers let sound play that was asked for: so it is opened when the answer is. */
  #openPlayer(autoplay) {
    this.#player = new Player(this.#model.rate, autoplay);
    this.#player.addEventListener("change", () => this.#showPlayer());
    this.#toggle.addEventListener("click", () => this.#player.toggle());
  }

  #addTokens({ ids, log_probs, strings, kinds }) {
    ids.forEach((id, n) =>
      this.#tokens.push({ id, string: strings[n], kind: kinds[n], logProb: log_probs[n] }),
    );
    this.#timeline.update(this.#tokens);
  }

  #addText({ part, text }) {
    if (!this.#texts.has(part)) this.#texts.set(part, this.#place(part, element("p", { className: "text" })));
    this.#texts.get(part).append(text);
  }

  #addSound({ part, rate, pcm }) {
    this.#firstSound ??= performance.now() - this.#began;
    if (!this.#sounds[part]) {
      this.#sounds[part] = { rate, pieces: [], line: this.#place(part, element("p", { className: "speech" })) };
    }
    const samples = decodePcm(pcm);
    this.#sounds[part].pieces.push(samples);
    this.#sounds[part].line.textContent = `speech, ${duration(this.#secondsOf(part))}`;
    this.#player.feed(samples);
  }

  #place(part, line) {
    this.#answer.querySelector(".waiting")?.remove();
    line.dataset.part = part;
    const later = [...this.#answer.children].find((other) => other.dataset.part > part) ?? null;
    return this.#answer.insertBefore(line, later);
  }

  #secondsOf(part) {
    const { rate, pieces } = this.#sounds[part] ?? { rate: 1, pieces: [] };
    return pieces.reduce((sum, piece) => sum + piece.length, 0) / rate;
  }

  #finish({ finish, parts, log_prob }) {
    const seconds = parts.map((_, part) => this.#secondsOf(part));
    this.#timeline.update(this.#tokens, soundsOfRuns(this.#tokens, parts, seconds));
    const facts = [`The answer ${FINISHES[finish]}`, count(this.#tokens.length, "token")];
    if (log_prob !== null) facts.push(`mean log-probability ${log_prob.toFixed(2)}`);
    this.#close(facts);
  }

  #close(facts) {
    this.#answer.setAttribute("aria-busy", "false");
    this.#answer.querySelector(".waiting")?.replaceChildren("nothing");
    if (this.#firstSound) facts.push(`first sound after ${duration(this.#firstSound / 1000)}`);
    facts.push(`all after ${duration((performance.now() - this.#began) / 1000)}`);
    this.#facts.textContent = `${facts.join(", ")}.`;
    const pieces = this.#sounds.filter(Boolean).flatMap((sound) => sound.pieces);
    if (pieces.length) this.#showAudio(encodeWav(pieces, this.#model.rate));
    if (this.#player?.state === "playing") this.#player.complete();
    else this.#player?.close(); // the player of the whole sound goes on from there
  }

  #showAudio(wav) {
    const url = URL.createObjectURL(wav);
    this.#audio = playerOf(url, "The answer's sound");
    for (const name of ["play", "seeked"]) this.#audio.addEventListener(name, () => this.#follow());
    this.#audio.addEventListener("play", () => this.#player.close());
    if (this.#player.state === "paused") this.#audio.currentTime = this.#player.position;
    this.#sound.append(this.#audio, element("a", { href: url, download: "answer.wav" }, "Download the sound"));
  }

  #showPlayer() {
    const { state } = this.#player;
    this.#toggle.hidden = state === "ended" || !this.#sounds.length;
    this.#toggle.textContent = state === "playing" ? "Pause" : "Play";
    if (state === "playing") this.#follow();
  }

  #seek(seconds) {
    if (!this.#audio) return;
    this.#audio.currentTime = seconds;
    this.#audio.play();
  }

  /** Moves the timeline's line as long as something plays. */
  #follow() {
    cancelAnimationFrame(this.#frame);
    const streaming = this.#player.state !== "ended";
    this.#timeline.setPosition(streaming ? this.#player.position : (this.#audio?.currentTime ?? null));
    const plays = streaming ? this.#player.state === "playing" : this.#audio && !this.#audio.paused;
    if (plays && this.element.isConnected) this.#frame = requestAnimationFrame(() => this.#follow());
  }
}

function shown(part) {
  if (part.kind === "text") return element("p", { className: "text" }, part.text);
  const line = element("p", { className: "speech" }, nameOf(part));
  return element("div", {}, line, ...(part.url ? [playerOf(part.url, nameOf(part))] : []));
}
