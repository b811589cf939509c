const BLOCK = 2048; // samples of a message

/** Sends the first channel of its input on, block by block. */
class Tap extends AudioWorkletProcessor {
  #block = new Float32Array(BLOCK);
  #filled = 0;

  process([channels]) {
    if (!channels.length) return true;
    this.#block.set(channels[0], this.#filled);
    this.#filled += channels[0].length;
    if (this.#filled === BLOCK) {
      this.port.postMessage(this.#block);
      this.#filled = 0;
    }
    return true;
  }
}

registerProcessor("tap", Tap);
