-- Put in front of every script that changes who is counted. One slot of a stream, always the same keys in this order:
-- KEYS[1] state         hash    epoch, born (ms), rebuilding (0 or 1), version (grows with every change), connections,
--                               joined, checked_in, peak, peak_at, ticked (last tick), patient_until
-- KEYS[2] leases        zset    boot id -> when it was last heard (ms)
-- KEYS[3] dead          zset    boot id -> when it was declared dead (ms); never revived
-- KEYS[4] sizes         hash    boot id -> how many members it holds
-- KEYS[5] behind        hash    boot id -> how many of its members' changes wait, after a restart or for too long
-- KEYS[6] members       hash    member -> "<boots that hold it>;<attribution of its first join>"
-- KEYS[7] joined        bitmap  members that ever joined
-- KEYS[8] checked_in    bitmap  members that checked in to the stream's sitting
-- KEYS[9] organisations, KEYS[10] places, KEYS[11] channels, KEYS[12] sources    hash    node -> members online
-- KEYS[13] boot         hash    sequence, connections, last answer and moved (members that it joined or let go, in all)
--                               of one boot id (flush and reap only)
-- KEYS[14] held         set     members that this boot id holds (flush and reap only)
-- An attribution is "<organisation path>;<place path>;<channel>;<source>", paths dot-separated from the root.
-- ARGV[1] now (ms), or 0: Valkey's own clock. Only tests pass another.
local STATE, LEASES, DEAD, SIZES, BEHIND, MEMBERS, JOINED, CHECKED_IN = unpack(KEYS, 1, 8)
local ORGANISATIONS, PLACES, CHANNELS, SOURCES, BOOT, HELD = unpack(KEYS, 9, 14)

local function clock()
  if ARGV[1] ~= "0" then return tonumber(ARGV[1]) end
  local time = redis.call("TIME")
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Without an epoch Valkey lost everything, or the stream is new: nobody may call its figures exact yet.
local function current_epoch(now)
  local epoch = redis.call("HGET", STATE, "epoch")
  if epoch then return epoch end
  local time = redis.call("TIME")
  epoch = time[1] .. "-" .. time[2]
  redis.call("HSET", STATE, "epoch", epoch, "born", now, "rebuilding", 1, "version", 1)
  return epoch
end

-- Why the figures are not exact ("" if they are), and at most how many members that concerns.
local function in_doubt(now, stale_ms)
  local doubt, stale, reason = 0, {}, ""
  for _, boot in ipairs(redis.call("ZRANGEBYSCORE", LEASES, "-inf", "(" .. (now - stale_ms))) do
    doubt, stale[boot], reason = doubt + (redis.call("HGET", SIZES, boot) or 0), true, "lease"
  end
  local behind = redis.call("HGETALL", BEHIND)
  for i = 1, #behind, 2 do
    if not stale[behind[i]] then doubt, reason = doubt + behind[i + 1], "behind" end
  end
  if redis.call("HGET", STATE, "rebuilding") == "1" then reason = "rebuilding" end
  return reason, doubt
end

local function changed()
  redis.call("HINCRBY", STATE, "version", 1)
end

-- Set the bits of `members` and let the counter `field` follow: noting twice counts once.
local function note(bitmap, field, members)
  if #members == 0 then return 0 end
  local bits = {}
  for _, member in ipairs(members) do
    local n = #bits
    bits[n + 1], bits[n + 2], bits[n + 3], bits[n + 4] = "SET", "u1", member, 1
  end
  local fresh = 0
  for _, before in ipairs(redis.call("BITFIELD", bitmap, unpack(bits))) do fresh = fresh + 1 - before end
  if fresh > 0 then redis.call("HINCRBY", STATE, field, fresh) end
  return fresh
end

-- Only by members that are not in doubt: after an outage those who left during it are counted until they are reaped.
local function raise_peak(peak, at)
  if peak > tonumber(redis.call("HGET", STATE, "peak") or 0) then
    redis.call("HSET", STATE, "peak", peak, "peak_at", at)
  end
end

local function add(sums, node, change)
  sums[node] = (sums[node] or 0) + change
end

local function apply(key, sums)
  for node, change in pairs(sums) do
    if change ~= 0 and redis.call("HINCRBY", key, node, change) == 0 then redis.call("HDEL", key, node) end
  end
end

-- `moved` maps attributions to net members; every ancestor is written once, however many moved.
local function count(moved)
  local organisations, places, channels, sources = {}, {}, {}, {}
  for attribution, change in pairs(moved) do
    local path, place, channel, source = string.match(attribution, "^([^;]*);([^;]*);([^;]*);([^;]*)$")
    if path and change ~= 0 then
      for node in string.gmatch(path, "[^.]+") do add(organisations, node, change) end
      for node in string.gmatch(place, "[^.]+") do add(places, node, change) end
      add(channels, channel, change)
      add(sources, source, change)
    end
  end
  apply(ORGANISATIONS, organisations)
  apply(PLACES, places)
  apply(CHANNELS, channels)
  apply(SOURCES, sources)
end

-- One boot fewer holds each of `members`; the last one takes out what the first join put in.
local function release(members, moved)
  if #members == 0 then return end
  local kept, gone = {}, {}
  for i, stored in ipairs(redis.call("HMGET", MEMBERS, unpack(members))) do
    if stored then
      local boots, attribution = string.match(stored, "^(%d+);(.*)$")
      if boots == "1" then
        gone[#gone + 1] = members[i]
        add(moved, attribution, -1)
      else
        kept[#kept + 1] = members[i]
        kept[#kept + 1] = (boots - 1) .. ";" .. attribution
      end
    end
  end
  if #kept > 0 then redis.call("HSET", MEMBERS, unpack(kept)) end
  if #gone > 0 then redis.call("HDEL", MEMBERS, unpack(gone)) end
  redis.call("SREM", HELD, unpack(members))
end

-- Forget a boot id that holds nobody any more, but remember that it is dead.
local function bury(boot, now)
  redis.call("ZADD", DEAD, "NX", now, boot)
  redis.call("ZREM", LEASES, boot)
  redis.call("HDEL", SIZES, boot)
  redis.call("HDEL", BEHIND, boot)
  redis.call("DEL", BOOT, HELD)
end
