-- The worker's tick: which boot ids may be reaped now? Keys: see counting.lua.
-- ARGV[1] now (0: Valkey's clock)   ARGV[2] lease (ms)   ARGV[3] a gap between ticks longer than this (ms) means that
--   ticks were missed   ARGV[4] how long a dead boot id is remembered (ms)   ARGV[5] keep the stream's keys for (ms)
-- Answers {epoch, rebuilding, ripe, joined, checked_in, peak, peak_at (ms), {boot ids to reap}}; ripe is 1 when every
--   gateway has had a full lease to push whom it holds into this epoch.
local DEAD_KEPT = 50000
local lease_ms, now = tonumber(ARGV[2]), clock()
local epoch = current_epoch(now)

-- After a pause every lease looks expired, and after an empty restart nobody has one: grant one full lease first.
-- The last tick is kept here, not in the worker, so that a pause of Valkey counts and copies of the worker share it.
local ticked = tonumber(redis.call("HGET", STATE, "ticked"))
if not ticked or now - ticked > tonumber(ARGV[3]) then
  redis.call("HSET", STATE, "patient_until", now + lease_ms)
end
redis.call("HSET", STATE, "ticked", now)

local state = redis.call(
  "HMGET", STATE, "rebuilding", "joined", "checked_in", "peak", "peak_at", "patient_until",
  "born")
local expired = {}
if now >= tonumber(state[6]) then
  expired = redis.call("ZRANGEBYSCORE", LEASES, "-inf", "(" .. (now - lease_ms))
end

redis.call("ZREMRANGEBYSCORE", DEAD, "-inf", now - ARGV[4])
redis.call("ZREMRANGEBYRANK", DEAD, 0, -DEAD_KEPT - 1)
for i = 1, 12 do redis.call("PEXPIRE", KEYS[i], ARGV[5]) end
local function number(i) return tonumber(state[i] or 0) end
local ripe = now - state[7] > lease_ms and 1 or 0
return {epoch, number(1), ripe, number(2), number(3), number(4), number(5), expired}
