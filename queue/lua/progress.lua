-- Writes progress of one attempt: fenced by the attempt and by the attempt's own
-- count of writes, and never lower than what was shown before.
-- KEYS 1 op  2 events  3 feed
-- ARGV 1 op id  2 channel  3 attempt  4 write number  5 progress  6 step  7 step index  8 steps total  9 message
-- Answer {code, cancel requested}; code seq written · 0 stale write · -1 no such op · -2 fenced by a newer attempt · -3 final
-- include announce
local cur = redis.call("HMGET", KEYS[1], "state", "attempt", "n", "progress", "cancel")
if not cur[1] then return {-1, 0} end
local cancel = tonumber(cur[5] or "0")
if cur[1] ~= "running" and cur[1] ~= "queued" then return {-3, cancel} end
if tonumber(ARGV[3]) ~= tonumber(cur[2]) then return {-2, cancel} end
if tonumber(ARGV[4]) <= tonumber(cur[3] or "0") then return {0, cancel} end

local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
-- 100 belongs to the end alone: a client may take it for "done".
local progress = math.max(math.min(tonumber(ARGV[5]), 99), tonumber(cur[4] or "0"))
redis.call("HSET", KEYS[1], "n", ARGV[4], "progress", progress, "step", ARGV[6], "step_index", ARGV[7],
  "steps_total", ARGV[8], "message", ARGV[9], "updated", now)
local seq = announce(KEYS[1], KEYS[2], KEYS[3], ARGV[2], ARGV[1], now, cur[1], progress,
  {"step", ARGV[6], "step_index", ARGV[7], "steps_total", ARGV[8], "message", ARGV[9]})
return {seq, cancel}
