// The model that answers, where the server has several: the address says which, so that a link asks the same one.

const names = (document.documentElement.dataset.models ?? "").split(",").filter(Boolean);

// A path of the server's as the chosen model answers it.
export function ofModel(path) {
  const model = new URLSearchParams(location.search).get("model");
  return model ? `${path}${path.includes("?") ? "&" : "?"}model=${encodeURIComponent(model)}` : path;
}

// Let the reader choose; `changed` is told the name, which is empty for the server's default.
export function setUpModels(changed) {
  const choice = document.getElementById("model");
  for (const name of names) choice.append(new Option(name, name));
  choice.parentElement.hidden = names.length < 2;
  choice.addEventListener("change", () => changed(choice.value === names[0] ? "" : choice.value));
}

export function showModel(name) {
  document.getElementById("model").value = name || (names[0] ?? "");
}
