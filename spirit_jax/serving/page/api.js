import { readEvents } from "./events.js";

const TOKEN_KEY = "spirit_jax.token";

/** What the service refused, in words. status: of HTTP; 0 where there was no answer. */
export class ServiceError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Keeps the service's token as long as this tab is open. */
export function keepToken(token) {
  sessionStorage.setItem(TOKEN_KEY, token);
}

/** What the service can do. */
export async function readModel() {
  return (await call("v1/model")).json();
}

/** The events of an answer as they come: {name, data}. Throws a ServiceError for a refusal, an error in
 * mid-stream, and a stream that ends without `done`. signal: aborts the request. */
export async function* generate(request, signal) {
  const response = await call("v1/generate", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...request, stream: true }),
    signal,
  });
  try {
    for await (const event of readEvents(response.body)) {
      if (event.name === "error") throw new ServiceError(event.data.error.message, response.status);
      yield event;
      if (event.name === "done") return;
    }
  } catch (error) {
    throw error instanceof TypeError ? brokenOff() : error;
  }
  throw brokenOff();
}

async function call(path, options = {}) {
  const token = sessionStorage.getItem(TOKEN_KEY);
  const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError("The service does not answer. Check that it is still running.", 0);
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

function brokenOff() {
  return new ServiceError("The service broke the answer off. What has come is kept.", 0);
}

async function refusal(response) {
  const said = await response.json().catch(() => null);
  const message = said?.error?.message ?? `The service answered ${response.status} ${response.statusText}.`;
  const wait = response.headers.get("Retry-After");
  const hint = wait ? ` Try again in ${wait} s.` : response.status === 429 ? " Try again in a moment." : "";
  return new ServiceError(message.replace(/([^.!?])$/, "$1.") + hint, response.status);
}
