// Pictures of films: drawn by the browser, which seeks in the file. The server decodes nothing for it.

import { filmUrl } from "./api.js";

const WIDTH = 480;
const WORKERS = 3;
const PATIENCE_MS = 8000;
const KEPT = 160;
// A frame is shown from its own time on; a little later is that frame for certain.
const LATER_S = 0.002;

const pictures = new Map();
const waiting = [];
let free = WORKERS;
const idle = [];

// Draw the frame of a film at a time onto a canvas, when there is a turn for it; says whether it could be.
export async function drawFrame(canvas, id, seconds, wanted = () => true) {
  const url = filmUrl(id);
  if (!url) return false;
  const key = `${url}@${seconds}`;
  const picture = pictures.get(key) ?? (await new Promise((resolve) => {
    waiting.push({ url, seconds, key, wanted, resolve });
    turn();
  }));
  if (!picture || !wanted()) return false;
  paint(canvas, picture);
  return true;
}

// The whole picture, and where it leaves room beside it the same, dim and blurred.
function paint(canvas, picture) {
  const pen = canvas.getContext("2d");
  const shares = [canvas.width / picture.width, canvas.height / picture.height];
  const draw = (share) => {
    const [width, height] = [picture.width * share, picture.height * share];
    pen.drawImage(picture, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
  };
  if ("filter" in pen) {
    pen.filter = `blur(${canvas.width / 9}px) brightness(0.55)`;
    draw(1.6 * Math.max(...shares));
    pen.filter = "none";
  }
  draw(Math.min(...shares));
}

// What is not drawn yet never will be: others are looked at now.
export function forgetWaiting() {
  for (const job of waiting.splice(0)) job.resolve(null);
}

function turn() {
  while (free && waiting.length) {
    free -= 1;
    work().finally(() => {
      free += 1;
      turn();
    });
  }
}

async function work() {
  const video = idle.pop() ?? blank();
  // Frames of the film that is open go first: opening costs more than seeking.
  while (waiting.length) {
    const place = Math.max(0, waiting.findIndex((job) => job.url === video.dataset.url));
    const [job] = waiting.splice(place, 1);
    job.resolve(job.wanted() ? await taken(video, job).catch(() => null) : null);
  }
  idle.push(video);
}

async function taken(video, { url, seconds, key }) {
  if (pictures.has(key)) return pictures.get(key);
  if (video.dataset.url !== url) {
    delete video.dataset.url;
    video.src = url;
    await happened(video, "loadeddata");
    video.dataset.url = url;
  }
  const last = Number.isFinite(video.duration) ? video.duration : Infinity;
  const at = Math.max(0, Math.min(seconds + LATER_S, last - LATER_S));
  if (Math.abs(video.currentTime - at) > 1e-4) {
    video.currentTime = at;
    await happened(video, "seeked");
  }
  const width = Math.min(WIDTH, video.videoWidth);
  const height = Math.round((width * video.videoHeight) / video.videoWidth);
  const picture = await createImageBitmap(video, { resizeWidth: width, resizeHeight: height, resizeQuality: "high" });
  pictures.set(key, picture);
  if (pictures.size > KEPT) {
    const [oldest] = pictures.keys();
    pictures.get(oldest).close();
    pictures.delete(oldest);
  }
  return picture;
}

function blank() {
  const video = document.createElement("video");
  video.muted = true;
  video.preload = "auto";
  return video;
}

function happened(video, event) {
  return new Promise((resolve, reject) => {
    const end = (settle) => () => {
      clearTimeout(timer);
      video.removeEventListener(event, good);
      video.removeEventListener("error", bad);
      settle();
    };
    const good = end(resolve);
    const bad = end(() => reject(new Error("the film can't be shown")));
    const timer = setTimeout(bad, PATIENCE_MS);
    video.addEventListener(event, good);
    video.addEventListener("error", bad);
  });
}
