-- What a worker's connections say that it holds, compared on the spot with what Valkey holds for its boot id, and kept
-- for the audit. Keys: see counting.lua, with the boot id's two; then
-- KEYS[15] bits      bitmap  the members of the worker's connections
-- KEYS[16] muster    hash    moved (of the boot id, then), lacking, surplus, discord, attributions
-- ARGV[1] now (0: Valkey's clock)   ARGV[2] sequence of the worker's last flush   ARGV[3] epoch
-- ARGV[4] keep for (ms)             ARGV[5] bitmap       ARGV[6] attributions, compressed
-- ARGV[7] members in which the worker's connections and its own bookkeeping differ
-- Answers 1, or 0 if another flush came between: then nothing can be compared.
local BITS, MUSTER = KEYS[15], KEYS[16]
local bits = ARGV[5]
local last = redis.call("HMGET", BOOT, "sequence", "moved")
if last[1] ~= ARGV[2] or redis.call("HGET", STATE, "epoch") ~= ARGV[3] then return 0 end

local held, both = redis.call("SMEMBERS", HELD), 0
for _, member in ipairs(held) do
  local byte = string.byte(bits, math.floor(member / 8) + 1)
  if byte and bit.band(byte, bit.rshift(128, member % 8)) ~= 0 then both = both + 1 end
end
redis.call("SET", BITS, bits, "PX", ARGV[4])
redis.call(
  "HSET", MUSTER, "moved", last[2] or 0, "lacking", redis.call("BITCOUNT", BITS) - both, "surplus", #held - both,
  "discord", ARGV[7], "attributions", ARGV[6])
redis.call("PEXPIRE", MUSTER, ARGV[4])
return 1
