// Requests to this server, with the key of this tab.

const KEY = "pensieve-key";

export class ServerError extends Error {}

export const key = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

function headers(more = {}) {
  const value = key.get();
  return value === null ? more : { ...more, "x-api-key": value };
}

/** The JSON of a path. An unhealthy server's 503 has its figures as well. */
export async function get(path) {
  const response = await fetch(path, { headers: headers(), cache: "no-store" });
  if (!response.ok && response.status !== 503) throw await errorOf(response);
  return response.json();
}

export async function post(path, body, signal) {
  const more = { "content-type": "application/json", "anthropic-version": "2023-06-01" };
  const response = await fetch(path, { method: "POST", headers: headers(more), body: JSON.stringify(body), signal });
  if (!response.ok) throw await errorOf(response);
  return response;
}

async function errorOf(response) {
  const body = await response.json().catch(() => null);
  return new ServerError(body?.error?.message ?? `the server answered with status ${response.status}`);
}

/** The data of each server-sent event of a response. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5));
      if (data.length) yield JSON.parse(data.join("\n"));
    }
  }
}
