// What answers at present, asked and shown.

import { Problem } from "./api.js";
import { showLike } from "./like.js";
import { learn } from "./served.js";
import { now } from "./state.js";
import { askForToken, offerToForget } from "./token.js";

export async function about() {
  showLike(now);
  try {
    await learn();
    showLike(now);
    offerToForget();
  } catch (error) {
    if (!(error instanceof Problem) && error.name !== "AbortError") throw error;
    if (error.status === 401 && (await askForToken())) about();
  }
}
