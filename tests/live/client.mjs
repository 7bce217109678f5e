// The official JavaScript client, driven by test_js_client.py: node client.mjs URL AUTH STREAM NODE_MODULES
// Prints one JSON line for everything that it sees; "bye" on standard input makes it leave.
import { createRequire } from "node:module";

const [url, auth, stream, modules] = process.argv.slice(2);
const { io } = createRequire(`${modules}/`)("socket.io-client");
const socket = io(url, {
  transports: ["websocket"],
  auth: JSON.parse(auth),
  reconnectionDelay: 100,
  reconnectionDelayMax: 200,
});
const say = (what, data) => console.log(JSON.stringify([what, data]));

socket.on("connect", async () => {
  say("connect", socket.id);
  say("joined", await socket.timeout(5000).emitWithAck("join", { stream: Number(stream) }));
});
socket.on("connect_error", (error) => {
  say("connect_error", { message: error.message, data: error.data });
  if (!socket.active) process.exit(0);
});
socket.on("disconnect", (reason) => say("disconnect", reason));
socket.on("count", (count) => say("count", count));
process.stdin.on("data", async () => {
  say("left", await socket.timeout(5000).emitWithAck("leave", { stream: Number(stream) }));
  socket.disconnect();
  process.stdin.destroy();
});
