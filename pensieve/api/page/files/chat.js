// A conversation with a model, streamed through /v1/messages.

import { byId, element, formats, setText } from "./render.js";
import { events, post } from "./server.js";

let conversation = [];
let running = null;

export function showChatModels(models) {
  const select = byId("chat-model");
  const ids = models.map((model) => model.id);
  if (ids.join("\n") === [...select.options].map((option) => option.value).join("\n")) return;
  const chosen = select.value;
  select.replaceChildren(...ids.map((id) => element("option", { value: id, textContent: id })));
  if (ids.includes(chosen)) select.value = chosen;
}

export function startChat() {
  byId("chat-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = byId("chat-text").value.trim();
    if (text && running === null) void send(text);
  });
  byId("chat-text").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    byId("chat-form").requestSubmit();
  });
  byId("chat-stop").addEventListener("click", () => running?.abort());
  byId("chat-clear").addEventListener("click", clear);
}

function clear() {
  running?.abort();
  conversation = [];
  byId("chat-log").replaceChildren();
  byId("chat-text").focus();
}

async function send(text) {
  const log = byId("chat-log");
  log.append(element("li", { className: "user" }, element("p", { className: "who", textContent: "You" }), element("p", { className: "text", textContent: text })));
  const answer = new Answer(byId("chat-model").value);
  log.append(answer.item);
  byId("chat-text").value = "";
  const messages = conversation; // a new chat leaves this one behind
  messages.push({ role: "user", content: text });
  setRunning(new AbortController());
  try {
    const body = { model: byId("chat-model").value, max_tokens: Number(byId("chat-tokens").value), stream: true, messages };
    const response = await post("v1/messages", body, running.signal);
    for await (const event of events(response)) answer.take(event);
  } catch (error) {
    answer.fail(error.name === "AbortError" ? "stopped" : error.message);
  }
  setRunning(null);
  if (answer.text.trim()) messages.push({ role: "assistant", content: answer.text });
  else if (messages.at(-1)?.content === text) messages.pop();
}

function setRunning(controller) {
  const hadFocus = document.activeElement === byId("chat-stop");
  running = controller;
  byId("chat-send").hidden = running !== null;
  byId("chat-stop").hidden = running === null;
  if (hadFocus) byId("chat-text").focus();
}

/** One answer on the page, from the events of its stream. */
class Answer {
  text = "";
  #began = performance.now();
  #firstAt = null;
  #tokens = 0;
  #who;
  #thinking = element("p");
  #details = element("details", { hidden: true }, element("summary", { textContent: "Thinking" }), this.#thinking);
  #shown = element("p", { className: "text" });
  #foot = element("p", { className: "quiet", textContent: "waiting…" });

  constructor(model) {
    this.#who = element("p", { className: "who", textContent: model });
    this.item = element("li", { className: "assistant" }, this.#who, this.#details, this.#shown, this.#foot);
    queueMicrotask(() => this.#scroll());
  }

  take(event) {
    if (event.type === "error") this.fail(event.error.message);
    if (event.type === "message_delta") this.#end(event);
    if (event.type !== "content_block_delta") return;
    this.#firstAt ??= performance.now();
    const isAtEnd = this.#isAtEnd();
    if (event.delta.type === "thinking_delta") {
      this.#details.hidden = false;
      this.#thinking.append(event.delta.thinking);
    } else if (event.delta.type === "text_delta") {
      this.text += event.delta.text;
      this.#shown.append(event.delta.text);
    }
    setText(this.#foot, "answering…");
    if (isAtEnd) this.#scroll();
  }

  #end({ delta, usage }) {
    this.#tokens = usage.output_tokens;
    const now = performance.now();
    const first = this.#firstAt ?? now;
    const seconds = (now - first) / 1000;
    const parts = [`${formats.count(this.#tokens)} tokens`, `first after ${formats.milliseconds(first - this.#began)}`];
    if (this.#tokens > 1 && seconds > 0) parts.push(formats.speed((this.#tokens - 1) / seconds));
    if (usage.cache_read_input_tokens) parts.push(`${formats.count(usage.cache_read_input_tokens)} read from the cache`);
    if (delta.stop_reason !== "end_turn") parts.push(`ended by ${delta.stop_reason.replaceAll("_", " ")}`);
    setText(this.#foot, parts.join(" · "));
    this.#scroll();
  }

  fail(message) {
    this.#foot.className = "problem";
    setText(this.#foot, message);
  }

  #isAtEnd() {
    const log = byId("chat-log");
    return log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  }

  #scroll() {
    byId("chat-log").scrollTop = byId("chat-log").scrollHeight;
  }
}
