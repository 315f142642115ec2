// Reads /health every two seconds while the page can be seen, and shows it.

import { showChatModels, startChat } from "./chat.js";
import { showHistory } from "./history.js";
import { showLog } from "./log.js";
import { showAlerts, showCache, showMemory, showModels, showRequests, showTotals } from "./panels.js";
import { byId, setText, showFigures } from "./render.js";
import { ServerError, get, key, post } from "./server.js";

const INTERVAL_MS = 2000;
const RETRY_MS = 5000;
let timer = null;
let isKeyRefused = false;
let lostAt = null;

async function poll() {
  clearTimeout(timer);
  timer = null;
  let pause = INTERVAL_MS;
  try {
    await show(await get("health"));
  } catch (error) {
    pause = RETRY_MS;
    lostAt ??= new Date().toLocaleTimeString("en-GB");
    setStatus(error instanceof ServerError ? error.message : `not reachable since ${lostAt}; the figures are older`, "bad");
    console.warn(`reading /health failed: ${error.message}`);
  }
  clearTimeout(timer);
  timer = document.hidden ? null : setTimeout(poll, pause);
}

async function show(health) {
  lostAt = null;
  setStatus(health.reason ? `${health.status}: ${health.reason}` : health.status, health.status === "healthy" ? "good" : "bad");
  setText(byId("version"), `version ${health.version}`);
  byId("key-button").hidden = key.get() === null && health.models !== undefined;
  if (health.models === undefined) return askForKey();
  isKeyRefused = false;
  showFigures(health);
  showRequests(health.requests.progress);
  showModels(health.models, changeModel);
  showChatModels(health.models);
  showMemory(health.reserved, health.pressure);
  showCache(health.prompt_tokens);
  showTotals(health.totals, health.speculation);
  showAlerts(health.alerts);
  document.body.dataset.shown = health.timestamp;
  await showLog(health.last_log_line);
  await showHistory(health.memory.capacity_bytes);
}

function setStatus(text, kind) {
  setText(byId("status"), text);
  byId("status").className = kind;
}

function notify(message) {
  byId("notice").hidden = !message;
  setText(byId("notice"), message);
}

async function changeModel(action, model) {
  notify("");
  try {
    await post(`models/${action}`, { model });
  } catch (error) {
    notify(`${model} could not be ${action}ed: ${error.message}`);
  }
  await poll();
}

function askForKey() {
  if (isKeyRefused || byId("key-dialog").open) return;
  isKeyRefused = true; // it asks once for each key, and then leaves the page readable
  if (key.get() !== null) setText(byId("key-problem"), "This server does not know the key of this tab.");
  openKeyDialog();
}

function openKeyDialog() {
  byId("key-input").value = "";
  byId("key-dialog").showModal();
}

byId("key-button").addEventListener("click", openKeyDialog);
byId("key-cancel").addEventListener("click", () => byId("key-dialog").close());
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key.set(byId("key-input").value);
  isKeyRefused = false;
  byId("key-dialog").close();
  void poll();
});
byId("log-details").addEventListener("toggle", () => void poll());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) void poll();
});
startChat();
void poll();
