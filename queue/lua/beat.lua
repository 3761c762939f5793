-- One heartbeat of a node, stamped by Redis's clock: a node whose own clock is
-- wrong is not lost.
-- KEYS[1] the node's record.  ARGV description (JSON), running ops, ms since the
-- last whole scan began (-1 = none yet).
-- Answers {1 when there was no record (first start, or Redis lost its data),
-- 1 when the node is asked to drain, Redis's time in ms}.
local fresh = 1 - redis.call("HEXISTS", KEYS[1], "beat")
local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call("HSET", KEYS[1], "beat", now, "info", ARGV[1], "running", ARGV[2])
if ARGV[3] ~= "-1" then redis.call("HSET", KEYS[1], "scan", now - tonumber(ARGV[3])) end
return {fresh, redis.call("HEXISTS", KEYS[1], "drain"), now}
