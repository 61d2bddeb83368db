// Three streamed turns with OpenAI's own JavaScript client: BASE_URL KEY TURN TURN TURN.
import OpenAI from "openai";

const [baseURL, apiKey, ...turns] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const messages = [];
for (const turn of turns) {
  messages.push({ role: "user", content: turn });
  const stream = await client.chat.completions.create({ model: "Llama", messages, stream: true });
  const pieces = [];
  for await (const chunk of stream) {
    const text = chunk.choices[0]?.delta?.content;
    if (text) pieces.push(text);
  }
  messages.push({ role: "assistant", content: pieces.join("") });
  console.log(JSON.stringify({ text: pieces.join(""), pieces: pieces.length }));
}
