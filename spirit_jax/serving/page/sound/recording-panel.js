import { byId, duration } from "../dom.js";
import { Recorder } from "./recorder.js";

/** The buttons and the level of a recording.
 * longest: gives the seconds at which it ends by itself. take: is called with each recording and its name.
 * complain: is called with why there is none; "" when one is asked for. */
export function setUpRecording({ longest, take, complain }) {
  let recorder = null;

  async function start() {
    complain("");
    byId("record").disabled = true;
    try {
      recorder = await Recorder.start(show);
    } catch (error) {
      complain(error.message);
    }
    byId("record").disabled = recorder !== null;
    byId("recording").hidden = recorder === null;
    if (recorder) byId("record-stop").focus();
  }

  function show(level, seconds) {
    byId("level").value = level;
    byId("recorded").textContent = duration(seconds);
    if (recorder && seconds >= longest()) stop();
  }

  function stop() {
    const ran = close();
    take(ran.stop(), `Recording of ${duration(ran.seconds)}`);
  }

  /** Closes the panel: the recorder that ran. */
  function close() {
    const ran = recorder;
    recorder = null;
    byId("recording").hidden = true;
    byId("record").disabled = false;
    byId("record").focus();
    return ran;
  }

  byId("record").addEventListener("click", start);
  byId("record-stop").addEventListener("click", stop);
  byId("record-discard").addEventListener("click", () => close().discard());
}
