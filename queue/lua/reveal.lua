-- Hands out the op's one-time secret and forgets it.
-- KEYS 1 op
-- Answer nil no such op · the secret, "" when there is none (any more)
if redis.call("EXISTS", KEYS[1]) == 0 then return false end
local secret = redis.call("HGET", KEYS[1], "revealed")
redis.call("HDEL", KEYS[1], "revealed")
return secret or ""
