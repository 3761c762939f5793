-- Writes a webhook's record, unless it has changed since it was read.
-- KEYS 1 webhook
-- ARGV 1 version that was read  2 record (JSON)
-- Answer 1 written · 0 changed meanwhile · -1 no such webhook
local version = redis.call("HGET", KEYS[1], "v")
if not version then return -1 end
if version ~= ARGV[1] then return 0 end
redis.call("HSET", KEYS[1], "rec", ARGV[2])
redis.call("HINCRBY", KEYS[1], "v", 1)
return 1
