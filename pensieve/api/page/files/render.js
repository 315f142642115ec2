// Figures as text, and lists that keep their elements, so that the focus stays where it is.

const UNITS = ["B", "kB", "MB", "GB", "TB"];

export const formats = {
  count: (value) => value.toLocaleString("en"),
  number: (value) => value.toLocaleString("en", { maximumFractionDigits: 1 }),
  percent: (value) => `${value.toFixed(1)}%`,
  speed: (value) => `${value.toFixed(1)} tokens/s`,
  seconds: (value) => duration(value),
  milliseconds: (value) => duration(value / 1000),
  bytes: (value) => {
    const unit = value ? Math.min(UNITS.length - 1, Math.floor(Math.log10(value) / 3)) : 0;
    return unit ? `${(value / 1000 ** unit).toFixed(2)} ${UNITS[unit]}` : `${value} B`;
  },
};

function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export const byId = (id) => document.getElementById(id);

export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** Show the figures of every element that names one by its path in /health. */
export function showFigures(health) {
  for (const target of document.querySelectorAll("data[data-path]")) {
    const value = target.dataset.path.split(".").reduce((part, name) => part?.[name], health);
    const known = value !== undefined && value !== null;
    target.value = known ? String(value) : "";
    setText(target, known ? formats[target.dataset.format](value) : "–");
  }
}

/** Make the children of `list` those of `items`: `create()` an element for a new key, then `update(element, item)`. */
export function keyed(list, items, keyOf, create, update) {
  const old = new Map([...list.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, index) => {
    const name = String(keyOf(item, index));
    let child = old.get(name);
    old.delete(name);
    if (child === undefined) {
      child = create(item);
      child.dataset.key = name;
    }
    update(child, item);
    if (list.children[index] !== child) list.insertBefore(child, list.children[index] ?? null);
  });
  old.forEach((child) => child.remove());
}
