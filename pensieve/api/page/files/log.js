// The last lines of the log, read when there are new ones and they can be seen.

import { byId, element } from "./render.js";
import { get } from "./server.js";

const MAX_LINES = 300;
let last = 0;

/** `newest` is the number of the newest line, or null if this client may not read the log. */
export async function showLog(newest) {
  byId("no-log").hidden = newest !== null;
  byId("log-details").hidden = newest === null;
  if (newest === null || !byId("log-details").open) return;
  if (newest < last) last = 0; // the server was started again
  if (newest === last) return;
  const { lines } = await get(`logs?after=${last}`);
  const log = byId("log");
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(...lines.map(lineOf));
  log.hidden = log.children.length === 0;
  byId("no-lines").hidden = !log.hidden;
  while (log.children.length > MAX_LINES) log.firstChild.remove();
  last = lines.at(-1)?.number ?? last;
  if (isAtEnd) log.scrollTop = log.scrollHeight;
}

function lineOf({ time, level, text }) {
  const at = new Date(1000 * time).toLocaleTimeString("en-GB");
  return element("p", { className: level.toLowerCase(), textContent: `${at} ${level.toLowerCase()} ${text}` });
}
