// Numbers and times in words.

// 3.2 s, 4:05, 1:02:03
export function clock(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.floor(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (!parts[0]) parts.shift();
  return parts.map((part, place) => (place ? String(part).padStart(2, "0") : String(part))).join(":");
}

// The part of a film that was found.
export const between = ({ start, end }) => `${clock(start)} \u2013 ${clock(end)}`;

export const percent = (share) => `${Math.round(100 * share)} %`;

export const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

export function size(bytes) {
  const units = ["bytes", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) {
    bytes /= 1024;
    unit += 1;
  }
  return `${unit && bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
}

export const milliseconds = (seconds) => `${(1000 * seconds).toFixed(seconds < 0.1 ? 1 : 0)} ms`;

// A value of metadata as a line.
export const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));

// What a hit is called: its caption or title where metadata has one.
export function caption(hit) {
  const told = hit.metadata ?? {};
  const named = told.caption ?? told.title ?? told.description;
  return typeof named === "string" ? named : "";
}

// When a hit is best looked at: its moment, else the middle of what was found.
export const momentOf = (hit) =>
  hit.moment ?? (hit.segment ? (hit.segment.start + hit.segment.end) / 2 : (hit.duration ?? 0) / 2);
