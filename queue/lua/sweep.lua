-- Puts tasks of a lane back to pending, in front of the others. Only safe for
-- tasks that nobody runs: the caller is the only worker of the node.
-- KEYS 1 active  2 lease  3 pending  4 retry
-- ARGV 1 task key prefix  2 now in ns  3.. ids to requeue; none = everything that is active or waits for a retry
-- Answer the number of tasks put back
local ids = {}
if #ARGV > 2 then
  for i = 3, #ARGV do ids[#ids + 1] = ARGV[i] end
else
  ids = redis.call("LRANGE", KEYS[1], 0, -1)
  for _, id in ipairs(redis.call("ZRANGE", KEYS[4], 0, -1)) do ids[#ids + 1] = id end
end
local n = 0
for _, id in ipairs(ids) do
  local held = redis.call("LREM", KEYS[1], 0, id) + redis.call("ZREM", KEYS[4], id)
  redis.call("ZREM", KEYS[2], id)
  local key = ARGV[1] .. id
  if held > 0 then
    if redis.call("HEXISTS", key, "msg") == 1 then
      redis.call("RPUSH", KEYS[3], id)
      redis.call("HSET", key, "state", "pending", "pending_since", ARGV[2])
      n = n + 1
    else
      redis.call("DEL", key) -- a ghost: its message is gone, the reconciler publishes the op anew
    end
  end
end
return n
