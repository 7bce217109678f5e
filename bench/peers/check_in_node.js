// The peer on Node for check-ins: stock Express, pg and socket.io, settings as their own documentation recommends
// (WebSocket only, native frame helpers installed beside it, a pool, a named and hence prepared statement).
// One INSERT a check-in, acknowledged after its commit. Settings come from the environment.
const { createHash, createHmac, timingSafeEqual } = require("node:crypto");
const { createServer } = require("node:http");
const express = require("express");
const { Pool } = require("pg");
const { Server } = require("socket.io");

const { PORT, DATABASE_URL, SECRET_KEY, POOL } = process.env;
const key = createHash("sha256").update("chunshui access token\0" + SECRET_KEY).digest();
const pool = new Pool({ connectionString: DATABASE_URL, max: Number(POOL || 10) });
const INSERT = {
  name: "check-in",
  text: `INSERT INTO peer_check_ins (activity_id, member_id, reference, organisation_path, happened_at)
    VALUES ($1, $2, $3, $4, now()) ON CONFLICT (member_id, reference) DO UPDATE SET reference = excluded.reference
    RETURNING id, happened_at`,
};

function readToken(token) {
  const [payload, signature] = token.split(".");
  const expected = createHmac("sha256", key).update(payload).digest();
  if (!timingSafeEqual(expected, Buffer.from(signature, "base64url"))) throw new Error("token_invalid");
  return JSON.parse(Buffer.from(payload, "base64url"));
}

async function checkIn([member, organisation], activity, reference) {
  const { rows } = await pool.query({ ...INSERT, values: [activity, member, reference, organisation] });
  return { id: rows[0].id, activity, reference, happened_at: rows[0].happened_at };
}

const app = express();
app.disable("x-powered-by");
app.use(express.json());
app.post("/api/v1/activities/:activity/check-ins", async (request, response) => {
  const actor = readToken(request.get("authorization").slice("Bearer ".length));
  response.status(201).json(await checkIn(actor, Number(request.params.activity), request.body.reference));
});

const httpServer = createServer(app);
const io = new Server(httpServer, { transports: ["websocket"], serveClient: false });
io.engine.on("connection", (rawSocket) => {
  rawSocket.request = null;
});
io.use((socket, next) => {
  try {
    socket.data.actor = readToken(socket.handshake.auth.token);
    next();
  } catch (error) {
    next(error);
  }
});
io.on("connection", (socket) => {
  socket.on("check_in", async ({ activity, reference }, acknowledge) => {
    acknowledge({ ok: true, check_in: await checkIn(socket.data.actor, activity, reference) });
  });
});

httpServer.listen(Number(PORT), "127.0.0.1");
