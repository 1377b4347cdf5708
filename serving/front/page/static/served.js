// What answers: a model and its gallery. Both are asked for again with every search, because an alias may be moved, and
// others add videos, while the page is open.

import { gallery } from "./api.js";
import { plural, size } from "./words.js";

const root = document.documentElement;
const facts = document.getElementById("facts");
const limit = document.getElementById("upload-limit");
// As the page came: kinds of films, and with them those of images.
const inputs = ["files", "like-file"].map((id) => document.getElementById(id)).map((input) => [input, input.accept]);
const FEATURES = ".npz,.safetensors";

let asking = new AbortController();

// How a video can be searched with: "beside" a text, "alone", or not at all, which is empty.
export const likeKind = () => root.dataset.like ?? "";

// The most bytes of a file that is sent; 0 where nothing is known of a limit.
export const largestFile = () => Number(root.dataset.maxBytes ?? 0);

// Ask, and show what is told; only the last one asked is shown.
export async function learn() {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const told = await gallery(signal);
  if (signal.aborted) return;
  facts.textContent = `${plural(told.count, "video")} \u00b7 ${told.system} ${told.fingerprint.slice(0, 12)}`;
  root.dataset.like = told.like ?? "";
  root.dataset.maxBytes = told.max_video_bytes ?? "";
  const films = told.takes.includes("video");
  const features = told.takes.includes("features") ? FEATURES : "";
  for (const [input, kinds] of inputs) input.accept = [films && kinds, features].filter(Boolean).join();
  document.getElementById("by").textContent = `Search with ${films ? "a film or an image" : "a feature file"}`;
  limit.textContent = `${largestFile() ? `Up to ${size(largestFile())} each. ` : ""}A video of the same name is replaced.`;
}
