// The official JavaScript client at the organisers' feed: node wall.mjs URL COOKIE STREAM NODE_MODULES
// Prints one JSON line for everything that it sees; "bye" on standard input makes it leave.
import { createRequire } from "node:module";

const [url, cookie, stream, modules] = process.argv.slice(2);
const { io } = createRequire(`${modules}/`)("socket.io-client");
const socket = io(`${url}/organisers`, {
  transports: ["websocket"],
  extraHeaders: { Cookie: cookie },
  reconnectionDelay: 100,
  reconnectionDelayMax: 200,
});
const say = (what, data) => console.log(JSON.stringify([what, data]));

socket.on("connect", async () => {
  say("connect", socket.id);
  say("watching", await socket.timeout(5000).emitWithAck("watch", { stream: Number(stream) }));
});
socket.on("connect_error", (error) => {
  say("connect_error", { message: error.message, data: error.data });
  if (!socket.active) process.exit(0);
});
socket.on("disconnect", (reason) => say("disconnect", reason));
socket.on("snapshot", (snapshot) => say("snapshot", snapshot));
process.stdin.on("data", () => {
  socket.disconnect();
  process.stdin.destroy();
});
