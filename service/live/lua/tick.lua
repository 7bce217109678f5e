-- The worker's tick: which boot ids may be reaped now? Keys: see counting.lua.
-- ARGV[1] now (0: Valkey's clock)   ARGV[2] lease (ms)   ARGV[3] a lease is stale after (ms)
-- ARGV[4] a gap between ticks longer than this (ms) means that ticks were missed
-- ARGV[5] how long a dead boot id is remembered (ms)      ARGV[6] keep the slot's keys for (ms)
-- ARGV[7] the highest count that is known of the stream   ARGV[8] when that was (ms)
-- Answers {epoch, now (ms), rebuilding, ripe, joined, checked_in, online beyond doubt, peak, peak_at (ms), {boot ids to
--   reap}}; ripe is 1 when every gateway has had a full lease to push whom it holds into this epoch.
local DEAD_KEPT = 50000
local lease_ms, now = tonumber(ARGV[2]), clock()
local epoch = current_epoch(now)
raise_peak(tonumber(ARGV[7]), ARGV[8])

-- After a pause every lease looks expired, and after an empty restart nobody has one: grant one full lease first.
-- The last tick is kept here, not in the worker, so that a pause of Valkey counts and copies of the worker share it.
local ticked = tonumber(redis.call("HGET", STATE, "ticked"))
if not ticked or now - ticked > tonumber(ARGV[4]) then
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

redis.call("ZREMRANGEBYSCORE", DEAD, "-inf", now - ARGV[5])
redis.call("ZREMRANGEBYRANK", DEAD, 0, -DEAD_KEPT - 1)
for i = 1, 12 do redis.call("PEXPIRE", KEYS[i], ARGV[6]) end
local function number(i) return tonumber(state[i] or 0) end
local ripe = now - state[7] > lease_ms and 1 or 0
local _, doubt = in_doubt(now, tonumber(ARGV[3]))
local sure = redis.call("HLEN", MEMBERS) - doubt
return {epoch, now, number(1), ripe, number(2), number(3), sure, number(4), number(5), expired}
