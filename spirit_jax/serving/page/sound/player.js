import { toFloat } from "./wav.js";

const LEAD_S = 0.08; // before sound that comes after a gap, so that it begins whole

/** Plays sound while it comes: pieces follow one another without gaps, unless they come too late. */
export class Player extends EventTarget {
  #context;
  #pieces = []; // {source, start, offset, seconds}: start in the context's time, offset in the sound's
  #seconds = 0;
  #complete = false;

  /** rate: samples a second. playing: whether it begins by itself. Fires `change`. */
  constructor(rate, playing) {
    super();
    this.#context = new AudioContext({ sampleRate: rate });
    if (!playing) this.#context.suspend();
    this.#context.onstatechange = () => this.#changed();
  }

  /** "playing", "paused", or "ended" when all of a complete sound was heard. */
  get state() {
    if (this.#context.state === "closed") return "ended";
    return this.#context.state === "running" ? "playing" : "paused";
  }

  /** Seconds of the sound that were heard. */
  get position() {
    const now = this.#context.currentTime;
    const piece = this.#pieces.findLast((one) => one.start <= now);
    return piece ? piece.offset + Math.min(now - piece.start, piece.seconds) : 0;
  }

  /** Appends 16-bit samples. */
  feed(samples) {
    if (this.#context.state === "closed") return;
    const buffer = this.#context.createBuffer(1, samples.length, this.#context.sampleRate);
    buffer.copyToChannel(toFloat(samples), 0);
    const source = new AudioBufferSourceNode(this.#context, { buffer });
    source.connect(this.#context.destination);
    source.onended = () => this.#closeAtEnd(source);
    const last = this.#pieces.at(-1);
    const end = last ? last.start + last.seconds : 0;
    const now = this.#context.currentTime;
    const start = end > now ? end : now + LEAD_S;
    source.start(start);
    this.#pieces.push({ source, start, offset: this.#seconds, seconds: buffer.duration, ended: false });
    this.#seconds += buffer.duration;
    this.#changed();
  }

  /** No more sound will come. */
  complete() {
    this.#complete = true;
    const last = this.#pieces.at(-1);
    if (!last || last.ended) this.close();
  }

  toggle() {
    return this.#context.state === "running" ? this.pause() : this.#context.resume();
  }

  pause() {
    if (this.#context.state === "running") this.#context.suspend();
  }

  close() {
    if (this.#context.state !== "closed") this.#context.close();
  }

  #closeAtEnd(source) {
    const piece = this.#pieces.find((one) => one.source === source);
    piece.ended = true;
    if (this.#complete && piece === this.#pieces.at(-1)) this.close();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
