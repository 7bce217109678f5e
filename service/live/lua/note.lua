-- Note members in a bitmap and its counter; noting twice counts once. Keys: see counting.lua.
-- ARGV[1] now (0: Valkey's clock)   ARGV[2] joined | checked_in   ARGV[3] epoch, "" for whichever it is
-- ARGV[4…] members
-- Answers how many were new, -1 if the epoch is another.
local epoch = current_epoch(clock())
if ARGV[3] ~= "" and ARGV[3] ~= epoch then return -1 end
local bitmap = ARGV[2] == "joined" and JOINED or CHECKED_IN
local fresh = note(bitmap, ARGV[2], {unpack(ARGV, 4)})
if fresh > 0 then changed() end
return fresh
