import { encodeWav, toInt16 } from "./wav.js";

const WHY_NOT = {
  NotAllowedError: "The browser does not let this page use the microphone. Allow it in the address bar.",
  NotFoundError: "There is no microphone.",
  NotReadableError: "Another program uses the microphone.",
};

/** A recording that runs. */
export class Recorder {
  #stream;
  #context;
  #pieces = [];
  #samples = 0;

  /** Asks for the microphone and begins. onBlock: is called with the level, 0 to 1, and the seconds so far.
   * Throws an Error that says in words why there is no recording. */
  static async start(onBlock) {
    if (!navigator.mediaDevices) throw new Error("Browsers record on localhost and over https only.");
    let recorder;
    try {
      recorder = new Recorder(await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } }));
      await recorder.#listen(onBlock);
      return recorder;
    } catch (error) {
      recorder?.discard();
      throw new Error(WHY_NOT[error.name] ?? `The microphone cannot be used: ${error.message}`);
    }
  }

  constructor(stream) {
    this.#stream = stream;
    this.#context = new AudioContext();
  }

  get seconds() {
    return this.#samples / this.#context.sampleRate;
  }

  /** Ends the recording: a mono 16-bit wav. */
  stop() {
    const wav = encodeWav(this.#pieces, this.#context.sampleRate);
    this.discard();
    return wav;
  }

  discard() {
    for (const track of this.#stream.getTracks()) track.stop();
    this.#context.close();
  }

  async #listen(onBlock) {
    await this.#context.audioWorklet.addModule(new URL("recorder-worklet.js", import.meta.url));
    const tap = new AudioWorkletNode(this.#context, "tap", { numberOfOutputs: 0 });
    tap.port.onmessage = ({ data }) => {
      this.#pieces.push(toInt16(data));
      this.#samples += data.length;
      onBlock(levelOf(data), this.seconds);
    };
    this.#context.createMediaStreamSource(this.#stream).connect(tap);
  }
}

/** How loud samples are for the eye: 0 at -60 dB and below, 1 at full scale. */
export function levelOf(samples) {
  const power = samples.reduce((sum, x) => sum + x * x, 0) / samples.length;
  return Math.max(0, Math.min(1, 1 + Math.log10(power + 1e-12) / 6));
}
