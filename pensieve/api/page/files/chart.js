// Lines over the last hour at most, with labelled axes, drawn to the width that there is.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 150;
const MARGIN = { top: 8, right: 8, bottom: 22, left: 62 };
const SPANS = [5, 10, 15, 30, 60];
const MIN_LABEL_WIDTH = 90;
const MINUTE = 60_000;

/** `series` are the lines: for each its key in a sample, which is its class in the style sheet too, and its name. */
export class Chart {
  #svg = node("svg", { role: "img" });
  #parent;
  #title;
  #series;
  #format;
  #samples = [];

  constructor(parent, title, series, format) {
    this.#parent = parent;
    this.#title = title;
    this.#series = series;
    this.#format = format;
    parent.append(this.#svg);
    new ResizeObserver(() => this.#draw()).observe(parent);
  }

  /** `samples` are in order of their `time`, in milliseconds; the last one is now. */
  show(samples) {
    this.#samples = samples;
    this.#draw();
  }

  #draw() {
    const width = this.#parent.clientWidth;
    if (!width || !this.#samples.length) return;
    const now = this.#samples.at(-1).time;
    const minutes = spanOf(now - this.#samples[0].time);
    const values = this.#samples.flatMap((sample) => this.#drawn().map(({ key }) => sample[key]));
    const ticks = ticksUpTo(Math.max(...values));
    const top = ticks.at(-1);
    const area = { left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: HEIGHT - MARGIN.bottom };
    const x = (time) => area.right - ((area.right - area.left) * (now - time)) / (minutes * MINUTE);
    const y = (value) => area.bottom - ((area.bottom - area.top) * value) / top;
    this.#svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.#svg.setAttribute("aria-label", this.#words(minutes));
    this.#svg.replaceChildren(
      ...ticks.flatMap((value) => this.#horizontal(value, y(value), area)),
      ...timeLabels(minutes, area),
      ...this.#drawn().flatMap(({ key }) => linesOf(this.#samples, key, x, y)),
    );
  }

  /** A line that would be far above all others, as a limit can be, is left out, so that they can be told apart. */
  #drawn() {
    const highest = (key) => Math.max(...this.#samples.map((sample) => sample[key]));
    const others = Math.max(...this.#series.filter(({ isLimit }) => !isLimit).map(({ key }) => highest(key)));
    return this.#series.filter(({ key, isLimit }) => !isLimit || highest(key) <= 4 * others);
  }

  #horizontal(value, y, { left, right }) {
    const label = node("text", { x: left - 6, y: y + 4, "text-anchor": "end" });
    label.textContent = this.#format(value);
    return [node("line", { x1: left, x2: right, y1: y, y2: y, class: "grid" }), label];
  }

  #words(minutes) {
    const parts = this.#series.map(({ key, name, isLimit }) => {
      const values = this.#samples.map((sample) => sample[key]);
      const now = `${name} ${this.#format(values.at(-1))}`;
      return isLimit ? now : `${now} now, from ${this.#format(Math.min(...values))} to ${this.#format(Math.max(...values))}`;
    });
    return `${this.#title}, last ${minutes} minutes: ${parts.join("; ")}`;
  }
}

/** The smallest span, in minutes, that has all of it. */
const spanOf = (milliseconds) => SPANS.find((minutes) => milliseconds <= minutes * MINUTE) ?? SPANS.at(-1);

/** Three to six round numbers from 0 on, of which the last is at least `highest`. */
function ticksUpTo(highest) {
  const rough = Math.max(highest, 1e-9) / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, [1, 2, 5, 10].find((factor) => factor * power >= rough) * power);
  return Array.from({ length: Math.ceil(Math.max(highest, step) / step) + 1 }, (_, index) => index * step);
}

function timeLabels(minutes, { left, right, bottom }) {
  const number = right - left > 5 * MIN_LABEL_WIDTH ? 5 : right - left > 2.5 * MIN_LABEL_WIDTH ? 2 : 1;
  return Array.from({ length: number + 1 }, (_, index) => {
    const ago = minutes - (minutes * index) / number;
    const anchor = index === 0 ? "start" : index === number ? "end" : "middle";
    const label = node("text", { x: left + ((right - left) * index) / number, y: bottom + 16, "text-anchor": anchor });
    label.textContent = ago ? `${+ago.toFixed(1)} min ago` : "now";
    return label;
  });
}

/** Several lines where samples are missing: the server was not running, or the machine slept. */
function linesOf(samples, key, x, y) {
  const parts = [];
  samples.forEach((sample, index) => {
    if (index === 0 || sample.isAfterGap) parts.push([]);
    parts.at(-1).push(`${x(sample.time).toFixed(1)},${y(sample[key]).toFixed(1)}`);
  });
  return parts.map((points) => node("polyline", { points: (points.length > 1 ? points : [...points, ...points]).join(" "), class: key }));
}

function node(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
