// Films on their way into the gallery, two at a time.

import { keepLocal, upload } from "./api.js";
import { plural, size } from "./words.js";

const AT_ONCE = 2;
const dialog = document.getElementById("upload");
const list = document.getElementById("sent");
const drop = document.getElementById("drop");
const input = document.getElementById("files");
const largest = Number(document.documentElement.dataset.maxBytes);

const waiting = [];
let going = 0;

// `done` is called with what the server says of every video that is in its gallery, and `like` with a file that is to be
// searched with, where that can be.
export function setUpUpload({ like, done, refused }) {
  const send = (files) => {
    for (const file of files) add(file);
    turn({ done, refused });
  };
  document.getElementById("upload-limit").textContent =
    `${largest ? `Up to ${size(largest)} each. ` : ""}A video of the same name is replaced.`;
  document.getElementById("open-upload").addEventListener("click", () => dialog.showModal());
  input.addEventListener("change", () => {
    send(input.files);
    input.value = "";
  });
  // A file that is dropped is searched with; several are meant for the gallery, and so is whatever is dropped while they
  // are added. A browser would leave the page for it.
  addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    drop.classList.add("over");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.classList.remove("over");
  });
  addEventListener("drop", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    drop.classList.remove("over");
    const { files } = event.dataTransfer;
    if (like && !dialog.open && files.length === 1) return void like(files[0]);
    if (!dialog.open) dialog.showModal();
    send(files);
  });
}

function add(file) {
  const item = document.createElement("li");
  const [name, told, bar] = ["span", "output", "progress"].map((kind) => document.createElement(kind));
  name.textContent = file.name;
  told.textContent = "waits";
  bar.max = 1;
  bar.value = 0;
  bar.setAttribute("aria-label", `Upload of ${file.name}`);
  item.append(name, told, bar);
  list.prepend(item);
  waiting.push({ file, item, told, bar });
}

function turn(tell) {
  while (going < AT_ONCE && waiting.length) {
    going += 1;
    sendOne(waiting.shift(), tell).finally(() => {
      going -= 1;
      turn(tell);
    });
  }
}

async function sendOne({ file, item, told, bar }, { done, refused }) {
  try {
    if (largest && file.size > largest) throw new Error(`It has ${size(file.size)}, the limit is ${size(largest)}.`);
    const sent = upload(file, (loaded, total) => {
      bar.value = loaded / total;
      told.textContent = loaded < total ? `${size(loaded)} of ${size(total)}` : "is being encoded";
      if (loaded >= total) bar.removeAttribute("value");
    });
    const indexed = await sent.done;
    keepLocal(indexed.id, file);
    bar.value = 1;
    told.textContent = `is in the gallery of ${plural(indexed.count, "video")}`;
    done(indexed);
  } catch (error) {
    item.classList.add("failed");
    told.textContent = error.message;
    refused(error);
  }
}
