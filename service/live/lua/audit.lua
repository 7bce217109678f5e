-- The counters of one slot beside what the workers' bitmaps say, at one moment. Keys: see counting.lua, the first twelve;
-- KEYS[13] scratch   bitmap  gone afterwards
-- KEYS[14…] of every boot id in leases: boot, held, bits, muster (see muster.lua)
-- ARGV[1] now (0: Valkey's clock)   ARGV[2] a lease is stale after (ms)   ARGV[3…] the boot ids, in the order of KEYS
-- Answers {online, joined, checked_in, connections, joined by its bitmap, checked_in by its bitmap, connections by boot
--   id, members in any bitmap, of these never joined, {of every boot id: members held, its size, members that moved
--   since its muster, moved at its muster (-1: it has none), lacking, surplus, discord}}; nothing while the figures are
--   degraded or when the boot ids are others.
local SCRATCH, FIRST, EACH = KEYS[13], 14, 4
if in_doubt(clock(), tonumber(ARGV[2])) ~= "" or redis.call("ZCARD", LEASES) ~= #ARGV - 2 then return nil end

local rows, bits, connections = {}, {}, 0
for i = 3, #ARGV do
  if not redis.call("ZSCORE", LEASES, ARGV[i]) then return nil end
  local at = FIRST + (i - 3) * EACH
  local boot = redis.call("HMGET", KEYS[at], "connections", "moved")
  local muster = redis.call("HMGET", KEYS[at + 3], "moved", "lacking", "surplus", "discord")
  local function number(value, default) return tonumber(value or default) end
  bits[#bits + 1] = KEYS[at + 2]
  connections = connections + number(boot[1], 0)
  rows[#rows + 1] = {
    redis.call("SCARD", KEYS[at + 1]), number(redis.call("HGET", SIZES, ARGV[i]), 0),
    number(boot[2], 0) - number(muster[1], 0), number(muster[1], -1),
    number(muster[2], 0), number(muster[3], 0), number(muster[4], 0),
  }
end
local union, strangers = 0, 0
if #bits > 0 then
  redis.call("BITOP", "OR", SCRATCH, unpack(bits))
  union = redis.call("BITCOUNT", SCRATCH)
  redis.call("BITOP", "AND", SCRATCH, SCRATCH, JOINED)
  strangers = union - redis.call("BITCOUNT", SCRATCH)
  redis.call("DEL", SCRATCH)
end
local state = redis.call("HMGET", STATE, "joined", "checked_in", "connections")
return {
  redis.call("HLEN", MEMBERS), tonumber(state[1] or 0), tonumber(state[2] or 0), tonumber(state[3] or 0),
  redis.call("BITCOUNT", JOINED), redis.call("BITCOUNT", CHECKED_IN), connections, union, strangers, rows,
}
