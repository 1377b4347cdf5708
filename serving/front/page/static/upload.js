// Films on their way into the gallery, two at a time.

import { keepLocal, upload } from "./api.js";
import { largestFile, likeKind } from "./served.js";
import { plural, size } from "./words.js";

const AT_ONCE = 2;
const dialog = document.getElementById("upload");
const list = document.getElementById("sent");
const drop = document.getElementById("drop");
const input = document.getElementById("files");

const waiting = [];
let going = 0;

// `done` is called with what the server says of every video that is in its gallery, `like` with a file that is to be
// searched with, and `unknown` where the server knows no token of the reader's: it says whether there is one now.
export function setUpUpload({ like, done, unknown }) {
  const send = (files) => {
    for (const file of files) add(file);
    turn({ done, unknown });
  };
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
    if (likeKind() && !dialog.open && files.length === 1) return void like(files[0]);
    if (!dialog.open) dialog.showModal();
    send(files);
  });
}

function add(file) {
  const item = document.createElement("li");
  const [name, told, stop, bar] = ["span", "output", "button", "progress"].map((kind) => document.createElement(kind));
  name.textContent = file.name;
  name.dir = "auto";
  told.textContent = "waits";
  stop.type = "button";
  stop.className = "quiet";
  stop.textContent = "Stop";
  stop.setAttribute("aria-label", `Stop the upload of ${file.name}`);
  bar.max = 1;
  bar.value = 0;
  bar.setAttribute("aria-label", `Upload of ${file.name}`);
  item.append(name, told, stop, bar);
  list.prepend(item);
  const job = { file, item, told, bar, stop };
  stop.addEventListener("click", () => {
    if (!waiting.includes(job)) return;
    waiting.splice(waiting.indexOf(job), 1);
    fail(job, "Stopped.");
  });
  waiting.push(job);
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

async function sendOne(job, { done, unknown }, again = true) {
  const { file, told, bar } = job;
  const largest = largestFile();
  try {
    if (largest && file.size > largest) throw new Error(`It has ${size(file.size)}, the limit is ${size(largest)}.`);
    const sent = upload(file, (loaded, total) => {
      bar.value = loaded / total;
      told.textContent = loaded < total ? `${size(loaded)} of ${size(total)}` : "is being encoded";
      if (loaded >= total) bar.removeAttribute("value");
    });
    job.stop.onclick = sent.stop;
    const indexed = await sent.done;
    keepLocal(indexed.id, file);
    bar.value = 1;
    told.textContent = `is in the gallery of ${plural(indexed.count, "video")}`;
    job.stop.remove();
    done(indexed);
  } catch (error) {
    if (again && error.status === 401 && (await unknown())) await sendOne(job, { done, unknown }, false);
    else fail(job, error.message);
  }
}

function fail({ item, told, stop }, words) {
  item.classList.add("failed");
  told.textContent = words;
  stop.remove();
}
