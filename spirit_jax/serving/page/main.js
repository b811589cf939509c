import { generate, keepToken, readModel, ServiceError } from "./api.js";
import { byId, count, duration, element } from "./dom.js";
import { Options } from "./options.js";
import { Prompt, toRequest } from "./prompt.js";
import { Recorder } from "./recorder.js";
import { Turn } from "./turn.js";

const EXAMPLE = "the brave sailor reached the harbor,";
const BASE64 = 4 / 3; // bytes of a request for a byte of a file
const WAIT_MS = 2000; // between two looks at a service that is not ready

const form = byId("composer");
const prompt = new Prompt(byId("parts"), say);
let model;
let options;
let recorder = null;
let running = null; // the AbortController of the answer that comes
let latest = null; // the newest turn
let turns = 0;

function say(words) {
  byId("status").textContent = words;
}

function complain(words) {
  byId("problem").textContent = words;
}

/** Asks for the service's token: whether one was given. */
async function askForToken() {
  const dialog = byId("token-dialog");
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  if (dialog.returnValue) keepToken(byId("token").value);
  return Boolean(dialog.returnValue);
}

/** Does it, and as long as a token is needed, again with one. */
async function withToken(work) {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (error.status !== 401) throw error;
      complain(error.message);
      if (!(await askForToken())) throw error;
      complain("");
    }
  }
}

/** Reads what the service can do, again and again until it answers. */
async function start() {
  try {
    model = await withToken(readModel);
  } catch (error) {
    complain(error.message);
    setTimeout(start, WAIT_MS);
    return;
  }
  complain("");
  options = new Options(form, model);
  document.title = `${model.id} · spirit_jax`;
  const streams = model.streams.map(({ name, size, rate }) => `${name}: ${size} codes, ${+rate.toFixed(2)} a second`);
  byId("facts").textContent = [model.id, ...streams].join(" · ");
  show(".hears", model.tasks.includes("transcribe"));
  show(".speaks", model.outputs.includes("speech"));
  byId("generate").disabled = false;
}

function show(selector, shown) {
  for (const one of document.querySelectorAll(selector)) one.hidden = !shown;
}

function sizeProblem(parts) {
  const bytes = parts.reduce((sum, part) => sum + (part.blob?.size ?? 0), 0);
  const most = model.limits.body_bytes / BASE64;
  const megabytes = (number) => `${(number / 1e6).toFixed(1)} MB`;
  return bytes > most && `The sounds have ${megabytes(bytes)}, and the service takes ${megabytes(most)}.`;
}

async function answer() {
  if (running || !options) return;
  complain("");
  if (!form.checkValidity()) byId("sampling").open = true; // a field that is hidden cannot say what is wrong
  if (!form.reportValidity()) return;
  const parts = prompt.parts;
  const problem = parts.length ? sizeProblem(parts) : "The prompt is empty. Type a text or add a sound.";
  if (problem) return complain(problem);
  const asked = options.read();
  const title = `${++turns}. ${options.choice.label}, seed ${asked.seed}`;
  latest?.pause();
  const sound = { made: options.choice.makes !== "text", autoplay: options.autoplay };
  const turn = (latest = new Turn(model, parts, title, sound));
  begin(turn);
  try {
    await withToken(() => follow(turn, parts, asked));
    say("The answer is complete.");
  } catch (error) {
    end(turn, error);
  } finally {
    finish(turn);
  }
}

async function follow(turn, parts, asked) {
  const request = { prompt: await toRequest(parts), ...asked };
  for await (const event of generate(request, running.signal)) {
    if (!turn.begun) say(model.streaming_sound ? "The answer comes." : "The answer comes, its sound at the end.");
    turn.take(event);
  }
}

function begin(turn) {
  running = new AbortController();
  byId("none").hidden = true;
  byId("turns").prepend(turn.element);
  turn.element.scrollIntoView({ block: "nearest" });
  byId("break").disabled = false;
  if (document.activeElement === byId("generate")) byId("break").focus();
  byId("generate").disabled = true;
  say("Waiting for the model.");
}

/** After an error: what came is kept, and a turn without anything goes. */
function end(turn, error) {
  const stopped = error.name === "AbortError";
  turn.breakOff(stopped ? "stopped" : "broken");
  if (!turn.begun) turn.element.remove();
  say(stopped ? "Stopped." : "");
  if (stopped) return;
  complain(error.message);
  if (!(error instanceof ServiceError)) throw error; // a fault of this page
}

function finish(turn) {
  running = null;
  byId("generate").disabled = false;
  if (document.activeElement === byId("break")) byId("generate").focus();
  byId("break").disabled = true;
  if (!turn.parts.length) return;
  const button = element("button", { type: "button" }, "Add this answer to the prompt");
  button.addEventListener("click", () => {
    for (const part of turn.parts) prompt.add(part, false);
    prompt.add({ kind: "text", text: "" });
    say(`The answer is in the prompt now: ${count(turn.parts.length, "part")}.`);
  });
  turn.element.append(button);
}

function addSound(blob, name) {
  prompt.add({ kind: "audio", name, blob, url: URL.createObjectURL(blob) });
  say(`Added ${name}.`);
}

function addFiles(files) {
  for (const file of files) addSound(file, file.name);
}

async function startRecording() {
  complain("");
  byId("record").disabled = true;
  try {
    recorder = await Recorder.start(showRecorded);
  } catch (error) {
    complain(error.message);
  }
  byId("record").disabled = recorder !== null;
  byId("recording").hidden = recorder === null;
  if (recorder) byId("record-stop").focus();
}

function showRecorded(level, seconds) {
  byId("level").value = level;
  byId("recorded").textContent = duration(seconds);
  if (recorder && seconds >= model.limits.seconds_of_sound) stopRecording();
}

/** Closes the panel of the recording: the recorder that ran. */
function closeRecording() {
  const ran = recorder;
  recorder = null;
  byId("recording").hidden = true;
  byId("record").disabled = false;
  byId("record").focus();
  return ran;
}

function stopRecording() {
  const ran = closeRecording();
  addSound(ran.stop(), `Recording of ${duration(ran.seconds)}`);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  answer();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) answer();
  if (event.key === "Escape") running?.abort();
});
byId("break").addEventListener("click", () => running?.abort());
byId("add-text").addEventListener("click", () => prompt.add({ kind: "text", text: "" }));
byId("upload").addEventListener("click", () => byId("files").click());
byId("files").addEventListener("change", ({ target }) => {
  addFiles(target.files);
  target.value = "";
});
byId("record").addEventListener("click", startRecording);
byId("record-stop").addEventListener("click", stopRecording);
byId("record-discard").addEventListener("click", () => closeRecording().discard());
for (const name of ["dragover", "dragleave", "drop"])
  form.addEventListener(name, (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    form.classList.toggle("dropping", name === "dragover");
    if (name === "drop") addFiles(event.dataTransfer.files);
  });
// one sound at a time
document.addEventListener(
  "play",
  ({ target }) => {
    latest?.pause();
    for (const other of document.querySelectorAll("audio")) if (other !== target) other.pause();
  },
  true,
);

prompt.add({ kind: "text", text: EXAMPLE }, false);
start();
