// A conversation through the AI SDK: with @ai-sdk/anthropic, or with @ai-sdk/openai-compatible if the argument says so.
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(process.env.NODE_MODULES + "/");
const load = async (name) => import(pathToFileURL(require.resolve(name)));
const { generateText, streamText, tool, stepCountIs, isStepCount } = await load("ai");
const { z } = await load("zod");

let model;
if (process.argv[2] === "anthropic") {
  const { createAnthropic } = await load("@ai-sdk/anthropic");
  // configure: AI SDK, @ai-sdk/anthropic
  const pensieve = createAnthropic({ baseURL: process.env.PENSIEVE_URL + "/v1", apiKey: "any" });
  model = pensieve(process.env.PENSIEVE_MODEL);
  // end
} else {
  const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible");
  // configure: AI SDK, @ai-sdk/openai-compatible
  const pensieve = createOpenAICompatible({ name: "pensieve", baseURL: process.env.PENSIEVE_URL + "/v1", apiKey: "any" });
  model = pensieve(process.env.PENSIEVE_MODEL);
  // end
}

const write_log = tool({
  description: "Write the harbour's log.",
  inputSchema: z.object({ text: z.string() }),
  execute: async ({ text }) => {
    writeFileSync("log.txt", text);
    return "The log says seven.";
  },
});
const fixed = { model, system: process.env.HANDBOOK, tools: { write_log }, stopWhen: (isStepCount ?? stepCountIs)(5) };
const messages = [];

async function ask(content) {
  messages.push({ role: "user", content });
  const result = await generateText({ ...fixed, messages });
  messages.push(...(result.responseMessages ?? result.response.messages));
  return result.text;
}

const report = { plain: await ask("When does it open?") };
messages.push({ role: "user", content: "Tell it word by word." });
const streamed = streamText({ ...fixed, messages });
report.chunks = 0;
for await (const _ of streamed.textStream) report.chunks += 1;
messages.push(...((await streamed.responseMessages) ?? (await streamed.response).messages));
report.tool = await ask(process.env.PROMPT_WRITE);
report.second = await ask("And when does it close?");
console.log(JSON.stringify(report));
