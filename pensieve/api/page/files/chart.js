// Memory over the time that the page is open, as lines.

import { byId, formats, setText } from "./render.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 600;
const HEIGHT = 140;
const MAX_SAMPLES = 300;
const SERIES = ["limit", "reserved", "measured"];

export class MemoryChart {
  #samples = [];
  #svg = document.createElementNS(SVG, "svg");
  #lines = new Map();

  constructor(parent) {
    this.#svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.#svg.setAttribute("preserveAspectRatio", "none");
    this.#svg.setAttribute("role", "img");
    this.#svg.setAttribute("aria-label", "Memory: no measurement yet");
    for (const name of SERIES) {
      const line = document.createElementNS(SVG, "polyline");
      line.setAttribute("class", name);
      this.#lines.set(name, line);
      this.#svg.append(line);
    }
    parent.append(this.#svg);
  }

  add(sample) {
    this.#samples.push(sample);
    if (this.#samples.length > MAX_SAMPLES) this.#samples.shift();
    const top = topOf(this.#samples, sample.limit);
    setText(byId("chart-top"), formats.bytes(top));
    const first = this.#samples[0].time;
    const span = Math.max(60_000, sample.time - first);
    for (const [name, line] of this.#lines) {
      const points = this.#samples.map((each) => point(each, name, first, span, top));
      if (points.length === 1) points.unshift(`0,${points[0].split(",")[1]}`);
      line.setAttribute("points", points.join(" "));
    }
    const minutes = Math.max(1, Math.round((sample.time - first) / 60_000));
    this.#svg.setAttribute(
      "aria-label",
      `Memory over the last ${minutes} min: now ${formats.bytes(sample.reserved)} reserved, ` +
        `${formats.bytes(sample.measured)} measured, limit ${formats.bytes(sample.limit)}`,
    );
  }
}

/** The limit, or if no more than a quarter of it is in use, a little more than that. */
function topOf(samples, limit) {
  const highest = Math.max(1, ...samples.flatMap((each) => [each.reserved, each.measured]));
  return 1.1 * (highest > limit / 4 ? limit : highest);
}

function point(sample, name, first, span, top) {
  const x = (WIDTH * (sample.time - first)) / span;
  return `${x.toFixed(1)},${(HEIGHT - (HEIGHT * sample[name]) / top).toFixed(1)}`;
}
