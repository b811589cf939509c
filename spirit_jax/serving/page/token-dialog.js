import { keepToken } from "./api.js";
import { byId } from "./dom.js";

/** Does it, and as long as the service wants a token, asks for one and does it again. complain: is called with
 * what the service said. */
export async function withToken(work, complain) {
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

/** Whether a token was given. */
async function askForToken() {
  const dialog = byId("token-dialog");
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  if (dialog.returnValue) keepToken(byId("token").value);
  return Boolean(dialog.returnValue);
}
