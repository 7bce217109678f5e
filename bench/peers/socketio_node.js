// The peer on Node: stock socket.io with its Redis adapter, settings as its performance pages recommend
// (WebSocket only, native frame helpers installed beside it, the first HTTP request discarded).
// A join is acknowledged after its count is in Valkey. Settings come from the environment.
const { createHash, createHmac, timingSafeEqual } = require("node:crypto");
const { createServer } = require("node:http");
const { createAdapter } = require("@socket.io/redis-adapter");
const { Redis } = require("ioredis");
const { Server } = require("socket.io");

const { PORT, REDIS_URL, SECRET_KEY, BROADCAST_SECONDS } = process.env;
const key = createHash("sha256").update("chunshui access token\0" + SECRET_KEY).digest();
const store = new Redis(REDIS_URL);
const httpServer = createServer();
const io = new Server(httpServer, {
  transports: ["websocket"],
  serveClient: false,
  adapter: createAdapter(new Redis(REDIS_URL), new Redis(REDIS_URL)),
});

function readToken(token) {
  const [payload, signature] = token.split(".");
  const expected = createHmac("sha256", key).update(payload).digest();
  if (!timingSafeEqual(expected, Buffer.from(signature, "base64url"))) throw new Error("token_invalid");
  return JSON.parse(Buffer.from(payload, "base64url"));
}

io.engine.on("connection", (rawSocket) => {
  rawSocket.request = null;
});

io.use((socket, next) => {
  try {
    [socket.data.member, socket.data.organisation] = readToken(socket.handshake.auth.token);
    next();
  } catch (error) {
    next(error);
  }
});

io.on("connection", (socket) => {
  socket.on("join", async ({ stream }, acknowledge) => {
    socket.join(`stream:${stream}`);
    const [, , [, count]] = await store
      .pipeline()
      .sadd(`online:${stream}`, socket.data.member)
      .hincrby(`organisations:${stream}`, socket.data.organisation, 1)
      .scard(`online:${stream}`)
      .exec();
    acknowledge({ ok: true, stream, count });
  });
  socket.on("leave", async ({ stream }, acknowledge) => {
    socket.leave(`stream:${stream}`);
    await store
      .pipeline()
      .srem(`online:${stream}`, socket.data.member)
      .hincrby(`organisations:${stream}`, socket.data.organisation, -1)
      .exec();
    acknowledge({ ok: true });
  });
});

// The same message as our gateway pushes, by socket.io's own broadcast.
if (BROADCAST_SECONDS) {
  setInterval(() => {
    for (const room of io.of("/").adapter.rooms.keys()) {
      if (!room.startsWith("stream:")) continue;
      const stream = Number(room.slice("stream:".length));
      const count = io.engine.clientsCount;
      io.to(room).emit("count", { stream, count, basis: "exact", as_of: new Date().toISOString() });
    }
  }, Number(BROADCAST_SECONDS) * 1000);
}

httpServer.listen(Number(PORT), "127.0.0.1");
