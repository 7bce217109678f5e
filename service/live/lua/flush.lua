-- What changed in one gateway worker since its last flush; renews the worker's lease. Keys: see counting.lua.
-- ARGV[1] now (0: Valkey's clock)   ARGV[2] boot id           ARGV[3] sequence, from 1
-- ARGV[4] epoch as the worker knows it ("" before its first answer)
-- ARGV[5] lease (ms)                ARGV[6] a lease is stale after (ms)
-- ARGV[7] connections of this boot  ARGV[8] members whose changes wait though they are late
-- ARGV[9] 1: the last flush of this boot id, which holds nobody any more
-- ARGV[10] when the worker made this flush (ms of Valkey's clock, as far as it knows; 0: it does not)
-- ARGV[11] a, ARGV[12] b, ARGV[13] c; then a members that left, b that joined, the b attributions of these,
--   c that joined and left since the last flush
-- Answers {status, epoch, online, connections, joined, as_of (ms), reason, in doubt}; status is
--   applied | repeated (the stored answer) | ignored (an old sequence) | restart (take a new boot id, push everyone).
local LEAVES, JOINS, PASSED = 14, 14 + ARGV[11], 14 + ARGV[11] + 2 * ARGV[12]
local boot, sequence, lease_ms, stale_ms = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[5]), tonumber(ARGV[6])
local now = clock()
local epoch = current_epoch(now)
local moved = {}

local function answer(status)
  local state = redis.call("HMGET", STATE, "connections", "joined")
  local reason, doubt = in_doubt(now, stale_ms)
  local online = redis.call("HLEN", MEMBERS)
  return {status, epoch, online, tonumber(state[1] or 0), tonumber(state[2] or 0), now, reason, doubt}
end

-- A boot id may flush while its lease lasts and nothing is missing. A new one starts with 1, in a known epoch or none.
local function accepted(last)
  if redis.call("ZSCORE", DEAD, boot) then return false end
  if ARGV[4] ~= "" and ARGV[4] ~= epoch then return false end
  if not last then return sequence == 1 end
  local heard = redis.call("ZSCORE", LEASES, boot)
  if not heard or now - heard > lease_ms then return false end
  return sequence <= last + 1
end

local function picked(first, last, key, wanted)
  local members = {}
  if last < first then return members end
  for i, present in ipairs(redis.call("SMISMEMBER", key, unpack(ARGV, first, last))) do
    if present == wanted then members[#members + 1] = first + i - 1 end
  end
  return members
end

local function join(indices)
  if #indices == 0 then return end
  local members, stored = {}, {}
  for i, index in ipairs(indices) do members[i] = ARGV[index] end
  for i, before in ipairs(redis.call("HMGET", MEMBERS, unpack(members))) do
    stored[2 * i - 1] = members[i]
    if before then
      local boots, attribution = string.match(before, "^(%d+);(.*)$")
      stored[2 * i] = (boots + 1) .. ";" .. attribution
    else
      local attribution = ARGV[indices[i] + ARGV[12]]
      stored[2 * i] = "1;" .. attribution
      add(moved, attribution, 1)
    end
  end
  redis.call("HSET", MEMBERS, unpack(stored))
  redis.call("SADD", HELD, unpack(members))
  note(JOINED, "joined", members)
end

-- As of when the flush was made: one that is executed late, after a pause, tells nothing of what happened since.
local function renew()
  local made = tonumber(ARGV[10])
  redis.call("ZADD", LEASES, "GT", made > 0 and math.min(now, made) or now, boot)
  redis.call("HSET", SIZES, boot, redis.call("SCARD", HELD))
  if ARGV[8] == "0" then redis.call("HDEL", BEHIND, boot) else redis.call("HSET", BEHIND, boot, ARGV[8]) end
  local change = ARGV[7] - (redis.call("HGET", BOOT, "connections") or 0)
  if change ~= 0 then redis.call("HINCRBY", STATE, "connections", change) end
  return change ~= 0
end

local last = tonumber(redis.call("HGET", BOOT, "sequence"))
if not accepted(last) then
  -- Declared dead at once: an abandoned flush of the same boot id may still be on its way.
  redis.call("ZADD", DEAD, "NX", now, boot)
  -- What it held is in doubt until it is reaped: its worker may have let go of some without telling.
  if redis.call("ZSCORE", LEASES, boot) then redis.call("HSET", BEHIND, boot, redis.call("SCARD", HELD)) end
  return answer("restart")
end
if sequence == last then
  -- A repeat proves nothing about the worker now: it does not renew the lease.
  local stored = cjson.decode(redis.call("HGET", BOOT, "answer"))
  stored[1] = "repeated"
  return stored
end
if last and sequence < last then return answer("ignored") end

-- Leaves first, so that somebody who moved within one flush never raises the peak.
local left = {}
for i, index in ipairs(picked(LEAVES, JOINS - 1, HELD, 1)) do left[i] = ARGV[index] end
release(left, moved)
local joined = picked(JOINS, JOINS + ARGV[12] - 1, HELD, 0)
join(joined)
local passed = {}
for i = PASSED, PASSED + ARGV[13] - 1 do passed[#passed + 1] = ARGV[i] end
note(JOINED, "joined", passed)
count(moved)
if renew() or #left + #joined + #passed > 0 then changed() end
local result = answer("applied")
raise_peak(result[3] - result[8], now)
if ARGV[9] == "1" and redis.call("SCARD", HELD) == 0 then
  bury(boot, now)
else
  redis.call("HINCRBY", BOOT, "moved", #left + #joined)
  redis.call("HSET", BOOT, "sequence", sequence, "connections", ARGV[7], "answer", cjson.encode(result))
end
return result
