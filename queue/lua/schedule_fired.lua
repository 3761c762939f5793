-- Moves a schedule on to its next time, once: whoever comes second with the same time, or after
-- the schedule was changed, changes nothing.
-- KEYS 1 schedule  2 due
-- ARGV 1 id  2 the time that was due in ms  3 next in ms, 0 = never  4 what came of it  5 op id or ""
-- Answer 1 moved on · 0 it is not due then (any more)
if redis.call("ZSCORE", KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
if redis.call("HEXISTS", KEYS[1], "def") == 0 or ARGV[3] == "0" then
  redis.call("ZREM", KEYS[2], ARGV[1])
else
  redis.call("ZADD", KEYS[2], ARGV[3], ARGV[1])
end
if redis.call("HEXISTS", KEYS[1], "def") == 0 then return 1 end
redis.call("HSET", KEYS[1], "last", ARGV[2], "result", ARGV[4])
redis.call("HINCRBY", KEYS[1], "n_" .. ARGV[4], 1)
if ARGV[5] ~= "" then redis.call("HSET", KEYS[1], "op", ARGV[5]) end
return 1
