// A token, asked for once: the server puts it into a cookie that no script can read.

import { signIn, signOut } from "./api.js";

const dialog = document.getElementById("token");
const form = document.getElementById("token-form");
const text = document.getElementById("token-text");
const trouble = document.getElementById("token-trouble");

const forget = document.getElementById("sign-out");

let asking = null;

// Once a token is known, it can be taken away.
export function offerToForget() {
  forget.hidden = !document.documentElement.dataset.tokens;
  forget.onclick = async () => {
    await signOut();
    location.assign("/");
  };
}

// Whether there is a token now that the server knows; whoever asks meanwhile gets the same answer.
export function askForToken() {
  asking ??= new Promise((resolve) => {
    let known = false;
    form.onsubmit = async (event) => {
      event.preventDefault();
      try {
        await signIn(text.value.trim());
        known = true;
        dialog.close();
      } catch (error) {
        trouble.textContent = error.message;
        trouble.hidden = false;
        text.select();
      }
    };
    dialog.onclose = () => {
      text.value = "";
      trouble.hidden = true;
      asking = null;
      resolve(known);
    };
    dialog.showModal();
  });
  return asking;
}
