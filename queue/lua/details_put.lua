-- Keeps what an inspection of an install found.
-- KEYS[1] the details, KEYS[2] the install's inventory record.
-- ARGV at in ms, seen (JSON), facts (compressed).
-- An install that is not in the inventory (any more) gets none: answers 0.
if redis.call("HEXISTS", KEYS[2], "rec") == 0 then return 0 end
redis.call("HSET", KEYS[1], "at", ARGV[1], "seen", ARGV[2], "facts", ARGV[3])
redis.call("HDEL", KEYS[1], "stale")
return 1
