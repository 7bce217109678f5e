-- The history of this epoch is in place: once every gateway had time to push whom it holds, call the figures exact.
-- Keys: see counting.lua.
-- ARGV[1] now (0: Valkey's clock)   ARGV[2] epoch whose joined and checked-in members were noted
-- ARGV[3] how long that takes (ms): a lease, or -1 if no gateway can hold anybody
-- Answers 1 when the figures may be called exact, 0 when not yet or when the epoch is another.
local now = clock()
local epoch = current_epoch(now)
if ARGV[2] ~= epoch then return 0 end
if now - redis.call("HGET", STATE, "born") <= tonumber(ARGV[3]) then return 0 end
if redis.call("HGET", STATE, "rebuilding") == "1" then
  redis.call("HSET", STATE, "rebuilding", 0)
  changed()
end
return 1
