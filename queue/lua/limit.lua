-- Counts one request in a fixed window that starts at the first request.
-- KEYS[1] the bucket (hash n, reset).  ARGV[1] window in ms.
-- Answers {requests so far, end of the window in Unix ms, ms until then}.
-- The end is stored, and by Redis's own clock, so that all API processes tell
-- a client exactly the same second.
--
-- The count stays in this Redis's memory: it goes to neither append-only file nor
-- replica, so that a poll waits for no fsync. What a failover or a restart forgets
-- is at most one window. Redis before 7 wants to be asked for effects first.
if redis.replicate_commands then redis.replicate_commands() end
redis.set_repl(redis.REPL_NONE)
local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local n = redis.call("HINCRBY", KEYS[1], "n", 1)
local reset
if n == 1 then
  reset = now + tonumber(ARGV[1])
  redis.call("HSET", KEYS[1], "reset", reset)
  redis.call("PEXPIREAT", KEYS[1], reset)
else
  reset = tonumber(redis.call("HGET", KEYS[1], "reset"))
end
return {n, reset, reset - now}
