import { generate, readModel, ServiceError } from "./api.js";
import { byId, count, element } from "./dom.js";
import { Options } from "./options.js";
import { Prompt, toRequest } from "./prompt.js";
import { setUpRecording } from "./sound/recording-panel.js";
import { withToken } from "./token-dialog.js";
import { Turn } from "./turn.js";

const EXAMPLE = "the brave sailor reached the harbor,";
const BASE64 = 4 / 3; // bytes of a request for a byte of a file
const WAIT_MS = 2000; // between two looks at a service that is not ready

const form = byId("composer");
const prompt = new Prompt(byId("parts"), say);
let model;
let options;
let running = null; // the AbortController of the answer that comes
let latest = null; // the newest turn

function say(words) {
  byId("status").textContent = words;
}

function complain(words) {
  byId("problem").textContent = words;
}

/** Reads what the service can do, again and again until it answers. */
async function start() {
  try {
    model = await withToken(readModel, complain);
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
  const title = `${byId("turns").children.length + 1}. ${options.choice.label}, seed ${asked.seed}`;
  latest?.pause();
  const sound = { made: options.choice.makes !== "text", autoplay: options.autoplay };
  const turn = (latest = new Turn(model, parts, title, sound));
  begin(turn);
  try {
    await withToken(() => follow(turn, parts, asked), complain);
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
  byId("none").hidden = byId("turns").children.length > 0;
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
for (const name of ["dragover", "dragleave", "drop"])
  form.addEventListener(name, (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    form.classList.toggle("dropping", name === "dragover");
    if (name === "drop") addFiles(event.dataTransfer.files);
  });
setUpRecording({ longest: () => model.limits.seconds_of_sound, take: addSound, complain });
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
