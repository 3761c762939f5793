-- Leaves an op queued that this worker does not know how to run, and says so once.
-- KEYS 1 op  2 events
-- ARGV 1 op id  2 channel  3 message
-- Answer 1 parked · 0 final · -1 no such op
local cur = redis.call("HMGET", KEYS[1], "state", "message", "progress")
if not cur[1] then return -1 end
if cur[1] ~= "queued" and cur[1] ~= "running" then return 0 end
if cur[2] == ARGV[3] then return 1 end
local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local seq = redis.call("HINCRBY", KEYS[1], "seq", 1)
redis.call("HSET", KEYS[1], "message", ARGV[3], "updated", now)
redis.call("XADD", KEYS[2], "MAXLEN", "~", 500, seq .. "-0", "at", now, "state", cur[1], "progress", cur[3] or 0, "message", ARGV[3])
redis.call("PUBLISH", ARGV[2], ARGV[1] .. " " .. seq .. " " .. cur[1])
return 1
