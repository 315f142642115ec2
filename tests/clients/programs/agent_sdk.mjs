// A conversation through @anthropic-ai/claude-agent-sdk, which brings its own Claude Code.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(process.env.NODE_MODULES + "/");
const { query } = await import(pathToFileURL(require.resolve("@anthropic-ai/claude-agent-sdk")));

// configure: claude-agent-sdk (npm)
const options = {
  model: process.env.PENSIEVE_MODEL,
  env: { ...process.env, ANTHROPIC_BASE_URL: process.env.PENSIEVE_URL, ANTHROPIC_AUTH_TOKEN: "any" },
  allowedTools: ["Bash"],
  includePartialMessages: true,
};
// end
let chunks = 0;
let session;

async function ask(prompt) {
  let text = "";
  for await (const message of query({ prompt, options: { ...options, resume: session } })) {
    if (message.type === "stream_event" && message.event.type === "content_block_delta") chunks += 1;
    if (message.type === "result") text = message.result ?? JSON.stringify(message);
    session = message.session_id ?? session;
  }
  return text;
}

const report = { plain: await ask(process.env.PROMPT_OPEN) };
chunks = 0;
await ask("Tell it word by word.");
report.chunks = chunks;
report.tool = await ask(process.env.PROMPT_WRITE);
report.second = await ask(process.env.PROMPT_CLOSE);
console.log(JSON.stringify(report));
