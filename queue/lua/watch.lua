-- Looks after an op that runs: was it cancelled, and does it still belong to this
-- attempt? With a beat its time of update moves on, so that a long step is not
-- taken for a dead worker.
-- KEYS 1 op
-- ARGV 1 attempt  2 beat (1/0)
-- Answer 1 cancel it · 0 go on · -1 not this attempt's op (any more)
local cur = redis.call("HMGET", KEYS[1], "state", "attempt", "cancel")
if cur[1] ~= "running" or cur[2] ~= ARGV[1] then return -1 end
if ARGV[2] == "1" then
  local t = redis.call("TIME")
  redis.call("HSET", KEYS[1], "updated", t[1] * 1000 + math.floor(t[2] / 1000))
end
return cur[3] == "1" and 1 or 0
