-- Writes the next move of a rollout. Whoever decided it on an older view (a leader that was
-- followed by another, a pause in between) writes nothing: rev has moved on.
-- KEYS 1 op  2 events  3 installs  4 states  5 open rollouts  6 reasons  7 feed  8 ended
-- ARGV 1 op id  2 channel  3 rev  4 state  5 progress  6 wave  7 waves  8 message  9 result JSON
--      10 error JSON or ""  11 stopped (1/0)  12.. index, state, reason or "" of each child that changes
-- Answer 1 written · 0 final or newer · -1 no such op
-- include announce
local cur = redis.call("HMGET", KEYS[1], "state", "rev", "progress", "message", "result", "retention", "started")
if not cur[1] then return -1 end
if (cur[1] ~= "queued" and cur[1] ~= "running") or cur[2] ~= ARGV[3] then return 0 end

local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for i = 12, #ARGV, 3 do
  redis.call("SETRANGE", KEYS[4], ARGV[i], ARGV[i + 1])
  if ARGV[i + 2] ~= "" then redis.call("HSET", KEYS[6], ARGV[i], ARGV[i + 2]) end
end
local final = ARGV[4] ~= "queued" and ARGV[4] ~= "running"
local progress = math.max(math.min(tonumber(ARGV[5]), 99), tonumber(cur[3] or "0"))
if ARGV[4] == "succeeded" or ARGV[4] == "unverified" then progress = 100 end
redis.call("HSET", KEYS[1], "updated", now)
if #ARGV < 12 and cur[1] == ARGV[4] and tonumber(cur[3] or "0") == progress
  and (cur[4] or "") == ARGV[8] and (cur[5] or "") == ARGV[9] then
  return 1 -- a sign of life, and nothing to see
end

redis.call("HINCRBY", KEYS[1], "rev", 1)
local step = ""
if not final and ARGV[4] == "running" then step = "wave" end
redis.call("HSET", KEYS[1], "state", ARGV[4], "progress", progress, "step", step, "step_index", ARGV[6],
  "steps_total", ARGV[7], "message", ARGV[8], "result", ARGV[9], "error", ARGV[10])
if ARGV[11] == "1" then redis.call("HSET", KEYS[1], "stopped", 1) end
if ARGV[4] == "running" and not cur[7] then redis.call("HSET", KEYS[1], "started", now) end
announce(KEYS[1], KEYS[2], KEYS[7], ARGV[2], ARGV[1], now, ARGV[4], progress,
  {"step", step, "step_index", ARGV[6], "steps_total", ARGV[7], "message", ARGV[8]})
if final then
  redis.call("HSET", KEYS[1], "finished", now)
  redis.call("ZADD", KEYS[8], now, ARGV[1]) -- until its webhooks are on their way
  redis.call("SREM", KEYS[5], ARGV[1])
  for _, i in ipairs({1, 2, 3, 4, 6}) do redis.call("EXPIRE", KEYS[i], tonumber(cur[6])) end
end
return 1
