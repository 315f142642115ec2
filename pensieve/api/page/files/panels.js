// The parts of the page that show what /health reports.

import { byId, element, formats, keyed, setText } from "./render.js";

const STAGES = {
  waiting: "waiting for its turn",
  prefilling: "reading the prompt",
  answering: "answering",
  ended: "complete; the client is still reading",
};

export function showRequests(requests) {
  byId("no-requests").hidden = requests.length > 0;
  const list = byId("request-list");
  keyed(list, requests, (_, index) => index, newRequest, updateRequest);
  list.tabIndex = list.scrollHeight > list.clientHeight ? 0 : -1; // the keyboard scrolls what has the focus
  const running = requests.filter((each) => each.stage === "answering");
  setText(byId("speed-now"), formats.speed(running.reduce((sum, each) => sum + speedOf(each), 0)));
}

function newRequest() {
  const bar = element("progress", { max: 1 });
  return element("li", { className: "request" }, element("p", { className: "what" }), bar, element("p", { className: "quiet" }));
}

function updateRequest(item, request) {
  const [what, bar, details] = item.children;
  const reads = request.stage === "waiting" || request.stage === "prefilling";
  const [done, all] = reads
    ? [request.prefilled_tokens, request.prompt_tokens]
    : [request.output_tokens, request.max_output_tokens];
  bar.value = all ? done / all : 0;
  bar.setAttribute("aria-label", reads ? "Prompt tokens read" : "Tokens of the longest possible answer");
  setText(what, `${request.model}: ${STAGES[request.stage]}, ${formats.count(done)} of ${reads ? "" : "at most "}${formats.count(all)} tokens`);
  setText(details, detailsOf(request).join(" · "));
}

function detailsOf(request) {
  const parts = [formats.seconds(request.seconds)];
  if (request.stage === "answering") parts.push(formats.speed(speedOf(request)));
  parts.push(`prompt of ${formats.count(request.prompt_tokens)}, ${formats.count(request.cached_tokens)} from the cache`);
  if (request.differs_in) parts.push(`differs from earlier prompts in ${request.differs_in}`);
  if (request.first_token_seconds !== null) parts.push(`first token after ${formats.seconds(request.first_token_seconds)}`);
  if (request.key !== null) parts.push(`key ${request.key}`);
  return parts;
}

/** Tokens per second since the first one. */
function speedOf(request) {
  const seconds = request.first_token_seconds === null ? 0 : request.seconds - request.first_token_seconds;
  return seconds > 0 ? Math.max(0, request.output_tokens - 1) / seconds : 0;
}

/** `act(action, id)` loads or unloads a model. */
export function showModels(models, act) {
  byId("no-models").hidden = models.length > 0;
  keyed(byId("model-list"), models, (model) => model.id, () => newModel(act), updateModel);
}

function newModel(act) {
  const button = element("button", { type: "button" });
  const item = element("li", { className: "model" }, element("p", { className: "what" }), button, element("p", { className: "quiet" }));
  button.addEventListener("click", async () => {
    if (button.ariaDisabled === "true") return;
    item.dataset.pending = item.dataset.action;
    showButton(item);
    await act(item.dataset.action, item.dataset.key);
    delete item.dataset.pending;
    showButton(item);
  });
  return item;
}

function updateModel(item, model) {
  const [what, , details] = item.children;
  setText(what, `${model.id}: ${model.state}`);
  const parts = [formats.bytes(model.weights_bytes) + " of weights"];
  if (model.draft_model) parts.push(`draft model ${model.draft_model}`);
  if (model.active) parts.push(`${formats.count(model.active)} open ${model.active === 1 ? "request" : "requests"}`);
  else if (model.idle_seconds !== null) parts.push(`idle for ${formats.seconds(model.idle_seconds)}`);
  setText(details, parts.join(" · "));
  item.dataset.state = model.state;
  item.dataset.action = model.state === "loaded" ? "unload" : "load";
  showButton(item);
}

/** Disabled by aria alone, so that it keeps the focus. */
function showButton(item) {
  const button = item.children[1];
  const isBusy = item.dataset.pending !== undefined || !["loaded", "unloaded"].includes(item.dataset.state);
  const action = item.dataset.pending ?? item.dataset.action;
  setText(button, isBusy ? `${action === "load" ? "Loading" : "Unloading"}…` : action === "load" ? "Load" : "Unload");
  button.setAttribute("aria-label", `${button.textContent} ${item.dataset.key ?? ""}`);
  button.ariaDisabled = String(isBusy);
}

export function showMemory(reserved, pressure) {
  const sum = Object.values(reserved).reduce((total, bytes) => total + bytes, 0);
  setText(byId("reserved"), formats.bytes(sum));
  const purposes = Object.entries(reserved).map(([name, bytes]) => [words(name.replace(/_bytes$/, "")), bytes]);
  keyed(byId("purposes"), purposes, ([name]) => name, newRow, (row, [name, bytes]) => {
    setText(row.children[0], name);
    setText(row.children[1], formats.bytes(bytes));
  });
  setText(byId("pressure"), pressure.active.length ? `Memory is short: ${pressure.active.map(words).join(", ")}.` : "");
}

function newRow() {
  return element("tr", {}, element("th", { scope: "row" }), element("td"));
}

export function showCache({ read, from_disk: disk, computed, differed_in: reasons }) {
  const memory = read - disk;
  const all = read + computed;
  setText(byId("cache-memory"), formats.count(memory));
  const shares = all ? { memory: memory / all, disk: disk / all, computed: computed / all } : {};
  const bar = byId("cache-bar");
  keyed(bar, Object.entries(shares), ([name]) => name, ([name]) => element("span", { className: name }), (part, [, share]) => {
    part.style.flexGrow = share;
  });
  const label = Object.entries(shares).map(([name, share]) => `${formats.percent(100 * share)} ${name}`);
  bar.setAttribute("aria-label", label.length ? `Prompt tokens: ${label.join(", ")}` : "No prompt yet");
  const misses = Object.entries(reasons).sort(([, one], [, other]) => other - one);
  byId("no-misses").hidden = misses.length > 0;
  keyed(byId("miss-list"), misses, ([name]) => name, () => element("li"), (item, [name, number]) => {
    setText(item, `${formats.count(number)} ${number === 1 ? "prompt" : "prompts"} differed first in ${name}`);
  });
}

export function showTotals(totals, speculation) {
  const first = totals.first_tokens ? formats.seconds(totals.first_token_seconds / totals.first_tokens) : "–";
  setText(byId("first-token"), first);
  setText(byId("per-pass"), speculation.proposed ? (speculation.tokens / speculation.passes).toFixed(2) : "–");
}

export function showAlerts(alerts) {
  byId("no-alerts").hidden = alerts.length > 0;
  keyed(byId("alert-list"), alerts, (alert) => alert.metric, () => element("li"), (item, alert) => {
    item.className = alert.severity;
    const { name, format } = ALERTS[alert.metric] ?? { name: words(alert.metric), format: String };
    setText(item, `${alert.severity}: ${words(alert.type)}: ${name} ${format(alert.value)}, limit ${format(alert.threshold)}`);
  });
}

const ALERTS = {
  p95_latency_ms: { name: "95% of answers within", format: formats.milliseconds },
  memory_utilization_percent: { name: "memory in use", format: formats.percent },
  error_rate_percent: { name: "failed requests", format: formats.percent },
  tokens_per_second: { name: "finished answers", format: formats.speed },
};

const words = (name) => name.replaceAll("_", " ");
