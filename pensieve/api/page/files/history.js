// The server's last hour, from /history: lines, and the same as a table.

import { Chart } from "./chart.js";
import { byId, element, formats, keyed, setText } from "./render.js";
import { get } from "./server.js";

const HOUR = 3_600_000;
const ROW = 300_000;
const axisBytes = (value) => formats.bytes(value).replace(".00 ", " ");
const charts = [
  new Chart(byId("memory-chart"), "Memory", [{ key: "limit", name: "limit", isLimit: true }, { key: "reserved", name: "reserved" }, { key: "measured", name: "measured" }], axisBytes),
  new Chart(byId("speed-chart"), "Tokens per second", [{ key: "speed", name: "all answers" }], formats.number),
  new Chart(byId("requests-chart"), "Open requests", [{ key: "running", name: "running" }, { key: "waiting", name: "waiting" }], formats.number),
];
const cells = [
  (row) => new Date(row.time).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" }),
  (row) => formats.bytes(row.reserved),
  (row) => formats.bytes(row.measured),
  (row) => formats.number(row.speed),
  (row) => formats.count(row.running),
  (row) => formats.count(row.waiting),
];

let samples = [];
let last = 0;
let nextAt = 0;

/** Reads new samples when there may be some. Those of the server's run before stay, for as long as they are of this hour. */
export async function showHistory(limit) {
  if (performance.now() < nextAt) return;
  let read = await get(`history?after=${last}`);
  if (read.last_number < last) {
    last = 0; // the server was started again
    read = await get("history");
  }
  nextAt = performance.now() + 1000 * read.interval_seconds;
  const added = read.samples.filter(({ number }) => number > last); // another call may have read the same ones
  if (!added.length) return;
  last = added.at(-1).number;
  const gap = 3000 * read.interval_seconds;
  for (const sample of added) samples.push(lineUp(sample, samples.at(-1), gap));
  const now = samples.at(-1).time;
  samples = samples.filter(({ time }) => now - time <= HOUR);
  const shown = samples.map((sample) => ({ ...sample, limit }));
  for (const chart of charts) chart.show(shown);
  showTable();
}

function lineUp(sample, before, gap) {
  const time = 1000 * sample.time;
  return {
    time,
    isAfterGap: before !== undefined && time - before.time > gap,
    reserved: sample.reserved_bytes,
    measured: sample.measured_bytes,
    speed: sample.tokens_per_second,
    running: sample.running,
    waiting: sample.waiting,
  };
}

/** The last sample of every five minutes, newest first. */
function showTable() {
  const rows = [...new Map(samples.map((sample) => [Math.floor(sample.time / ROW), sample])).entries()].reverse();
  keyed(byId("history-rows"), rows, ([name]) => name, newRow, (row, [, sample]) => {
    cells.forEach((textOf, index) => setText(row.children[index], textOf(sample)));
  });
}

function newRow() {
  return element("tr", {}, element("th", { scope: "row" }), ...cells.slice(1).map(() => element("td")));
}
