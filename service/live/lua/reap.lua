-- Take the members of one expired boot id out of the count, a chunk at a time. Keys: see counting.lua.
-- ARGV[1] now (0: Valkey's clock)   ARGV[2] boot id   ARGV[3] lease (ms)   ARGV[4] at most this many members
-- ARGV[5] a lease is stale after (ms)
-- Answers how many members remain, -1 if the boot id must not be reaped (any more, or yet).
local boot, now = ARGV[2], clock()
local heard = redis.call("ZSCORE", LEASES, boot)
local patient_until = tonumber(redis.call("HGET", STATE, "patient_until") or now)
if not heard or now - heard <= tonumber(ARGV[3]) or now < patient_until then return -1 end

-- Dead before its first member goes: from here on no flush of this boot id is accepted.
redis.call("ZADD", DEAD, "NX", now, boot)
local connections = tonumber(redis.call("HGET", BOOT, "connections") or 0)
if connections ~= 0 then
  redis.call("HINCRBY", STATE, "connections", -connections)
  redis.call("HSET", BOOT, "connections", 0)
end
local moved = {}
release(redis.call("SPOP", HELD, ARGV[4]), moved)
count(moved)
local remaining = redis.call("SCARD", HELD)
if remaining == 0 then bury(boot, now) else redis.call("HSET", SIZES, boot, remaining) end
changed()
-- Whoever somebody else holds too is in doubt no longer.
local _, doubt = in_doubt(now, tonumber(ARGV[5]))
raise_peak(redis.call("HLEN", MEMBERS) - doubt, now)
return remaining
