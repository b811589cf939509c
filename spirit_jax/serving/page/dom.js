/** A new element. settings: properties by their names in JavaScript, and attributes whose names have a hyphen. */
export function element(tag, settings = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(settings)) {
    if (name.includes("-") || name === "role") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

/** A new SVG element with attributes. */
export function drawn(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** A player for a sound. */
export function playerOf(url, label) {
  return element("audio", { controls: true, preload: "metadata", src: url, "aria-label": label });
}

/** The element of the page with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** "1 token", "3 tokens". */
export function count(number, word) {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}

/** Seconds for people: "2.4 s", "1 min 5 s". */
export function duration(seconds) {
  if (seconds < 59.95) return `${seconds.toFixed(1)}\u00a0s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
