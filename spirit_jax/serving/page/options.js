import { element } from "./dom.js";

/** What can be asked for. makes: the modality of the answer. temperature: what the service takes by default. */
const CHOICES = [
  { label: "Continue in speech", task: "continue", output: "speech", makes: "speech", temperature: 0.8 },
  { label: "Continue in text", task: "continue", output: "text", makes: "text", temperature: 0.8 },
  { label: "Continue in either", task: "continue", output: "arbitrary", makes: "both", temperature: 0.8 },
  { label: "Transcribe speech", task: "transcribe", makes: "text", temperature: 0 },
  { label: "Read text aloud", task: "speak", makes: "speech", temperature: 0 },
];
const NUMBERS = ["temperature", "top_p", "top_k", "repetition_penalty", "max_new_tokens", "speaker", "style"];
const SEEDS = 2 ** 31;

/** The form's fields besides the prompt: what is asked for, voice and sampling. */
export class Options {
  #fields;
  #choices;

  /** fields: the form's elements by name. model: what the service says of itself. */
  constructor(form, model) {
    this.#fields = form.elements;
    this.#choices = CHOICES.filter(
      ({ task, output }) => model.tasks.includes(task) && (!output || model.outputs.includes(output)),
    );
    form.querySelector("#choices").replaceChildren(...this.#choices.map(radio));
    this.#number("speaker", model.speakers);
    this.#number("style", model.styles);
    this.#fields.max_new_tokens.max = model.longest_tokens;
    form.addEventListener("input", () => this.#update());
    this.#update();
  }

  /** The chosen one of CHOICES. */
  get choice() {
    return this.#choices[Number(this.#fields.choice.value)];
  }

  /** Whether sound is played as it comes. */
  get autoplay() {
    return this.#fields.autoplay.checked;
  }

  /** The options of a request: those that were filled in and have an effect. Draws the seed if it is to be new. */
  read() {
    const { task, output } = this.choice;
    if (this.#fields.new_seed.checked) this.#fields.seed.value = Math.floor(Math.random() * SEEDS);
    const options = { task, ...(output && { output }), seed: Number(this.#fields.seed.value) };
    for (const name of NUMBERS) {
      const { value, disabled } = this.#fields[name];
      if (value !== "" && !disabled) options[name] = Number(value);
    }
    const stops = this.#fields.stop.value.split("\n").filter(Boolean);
    if (stops.length && !this.#fields.stop.disabled) options.stop = stops;
    return options;
  }

  /** Turns off what would have no effect: the service refuses it. */
  #update() {
    const { makes, temperature } = this.choice;
    const fields = this.#fields;
    fields.temperature.placeholder = temperature;
    const greedy = Number(fields.temperature.value || temperature) === 0;
    fields.top_p.disabled = fields.top_k.disabled = greedy;
    fields.stop.disabled = makes === "speech";
    fields.speaker.disabled = fields.style.disabled = makes === "text";
    fields.seed.readOnly = fields.new_seed.checked;
  }

  #number(name, count) {
    const numbers = Array.from({ length: count }, (_, n) => element("option", { value: n }, `${n}`));
    this.#fields[name].append(...numbers);
    this.#fields[name].closest(".field").hidden = count === 0;
  }
}

function radio({ label }, index) {
  const input = element("input", { type: "radio", name: "choice", value: index, checked: index === 0 });
  return element("label", { className: "choice" }, input, element("span", {}, label));
}
