// Joins a room by npm's ws, with compression, and prints the texts of so many messages.
// node ws_client.cjs URL COUNT, in the folder whose node_modules has ws.
const { createRequire } = require("node:module");
const WebSocket = createRequire(`${process.cwd()}/`)("ws");

const [url, count] = process.argv.slice(2);
const texts = [];
setTimeout(() => process.exit(2), 25_000).unref();
const socket = new WebSocket(url, "chat-room.v1", { perMessageDeflate: true });
socket.on("message", (data) => {
  const frame = JSON.parse(data);
  if (frame.type !== "messages") return;
  texts.push(...frame.messages.map((message) => message.text));
  if (texts.length < Number(count)) return;
  console.log(JSON.stringify({ extensions: socket.extensions, texts }));
  socket.close(1000);
});
socket.on("close", (code) => process.exit(code === 1000 && texts.length >= Number(count) ? 0 : 1));
