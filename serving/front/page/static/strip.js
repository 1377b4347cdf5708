// The frames of a hit with their weights: each a button that jumps there.

import { clock, percent } from "./words.js";

// A row of bars in `group`; one stop of the Tab key, arrows go from frame to frame.
export function drawStrip(group, hit, jump) {
  group.replaceChildren();
  const weights = hit.attention ?? [];
  group.hidden = !weights.length;
  if (!weights.length) return;
  group.setAttribute("aria-label", `Frames of ${hit.id} by weight`);
  const most = Math.max(...weights);
  const best = weights.indexOf(most);
  weights.forEach((weight, frame) => {
    const seconds = hit.timestamps[frame];
    const button = document.createElement("button");
    button.type = "button";
    button.tabIndex = frame === best ? 0 : -1;
    button.classList.toggle("best", frame === best);
    button.title = `${clock(seconds)}, weight ${percent(weight)}`;
    button.setAttribute("aria-label", `Jump to ${clock(seconds)}, weight ${percent(weight)}`);
    button.append(bar(most ? weight / most : 0));
    button.addEventListener("click", () => jump(seconds));
    group.append(button);
  });
  group.onkeydown = (event) => walk(event, [...group.children]);
}

export function bar(share) {
  const drawn = document.createElement("i");
  drawn.style.height = `${100 * share}%`;
  return drawn;
}

function walk(event, buttons) {
  const here = buttons.indexOf(document.activeElement);
  const next = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: buttons.length - 1 }[event.key];
  if (here < 0 || next === undefined || !buttons[next]) return;
  event.preventDefault();
  buttons[here].tabIndex = -1;
  buttons[next].tabIndex = 0;
  buttons[next].focus();
}
