-- Starts an attempt. Its number is the fencing token of everything it writes.
-- KEYS 1 op  2 fifo  3 events  4 open  5 feed
-- ARGV 1 op id  2 channel
-- Answer {code, why}; code the attempt, 1 or more · 0 final · -1 no such op · -2 another op of the install comes first
--        why the attempt before ended without an outcome: drain, busy, retry, unknown, clock, or "" for a crash
-- include announce
local state = redis.call("HGET", KEYS[1], "state")
if not state then return {-1, ""} end
if state ~= "queued" and state ~= "running" then return {0, ""} end

-- asynq holds heads only; this is what keeps one op per install even if it did not.
if redis.call("LINDEX", KEYS[2], 0) ~= ARGV[1] then
  if not redis.call("LPOS", KEYS[2], ARGV[1]) then redis.call("RPUSH", KEYS[2], ARGV[1]) end
  if redis.call("LINDEX", KEYS[2], 0) ~= ARGV[1] then return {-2, ""} end
end

local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local attempt = redis.call("HINCRBY", KEYS[1], "attempt", 1)
redis.call("HSETNX", KEYS[1], "started", now)
redis.call("HSET", KEYS[1], "state", "running", "updated", now, "n", 0, "message", "")
redis.call("SADD", KEYS[4], ARGV[1])
local progress = redis.call("HGET", KEYS[1], "progress") or 0
announce(KEYS[1], KEYS[3], KEYS[5], ARGV[2], ARGV[1], now, "running", progress)
local why = redis.call("HGET", KEYS[1], "why") or ""
redis.call("HDEL", KEYS[1], "why")
return {attempt, why}
