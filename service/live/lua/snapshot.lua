-- The figures of a stream at one moment, for the nodes that are asked for; writes nothing. Keys: see counting.lua.
-- ARGV[1] now (0: Valkey's clock)   ARGV[2] a lease is stale after (ms)   ARGV[3] n; then n organisations, then places
-- Answers {epoch, version, as_of (ms), reason, in doubt, online, connections, joined, checked_in, peak, peak_at (ms),
--   {organisations}, {places}, {channel, members, …}, {source, members, …}}.
local now, n = clock(), tonumber(ARGV[3])
local state = redis.call(
  "HMGET", STATE, "epoch", "version", "connections", "joined", "checked_in", "peak", "peak_at")
local reason, doubt = in_doubt(now, tonumber(ARGV[2]))
if not state[1] then reason = "rebuilding" end

local function at(key, first, last)
  local found = {}
  for from = first, last, 1000 do -- unpack has a limit
    for _, members in ipairs(redis.call("HMGET", key, unpack(ARGV, from, math.min(from + 999, last)))) do
      found[#found + 1] = tonumber(members or 0)
    end
  end
  return found
end

local function number(i) return tonumber(state[i] or 0) end
return {
  state[1] or "", number(2), now, reason, doubt, redis.call("HLEN", MEMBERS), number(3), number(4), number(5),
  number(6), number(7), at(ORGANISATIONS, 4, 3 + n), at(PLACES, 4 + n, #ARGV),
  redis.call("HGETALL", CHANNELS), redis.call("HGETALL", SOURCES),
}
