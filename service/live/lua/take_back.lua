-- Take members out of those who have checked in; taking out who is not among them changes nothing. Keys: see counting.lua.
-- ARGV[1] now (0: Valkey's clock)   ARGV[2…] members
-- Answers how many were among them.
current_epoch(clock())
local bits = {}
for i = 2, #ARGV do
  local n = #bits
  bits[n + 1], bits[n + 2], bits[n + 3], bits[n + 4] = "SET", "u1", ARGV[i], 0
end
if #bits == 0 then return 0 end
local gone = 0
for _, before in ipairs(redis.call("BITFIELD", CHECKED_IN, unpack(bits))) do gone = gone + before end
if gone > 0 then
  redis.call("HINCRBY", STATE, "checked_in", -gone)
  changed()
end
return gone
