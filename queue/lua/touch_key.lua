-- Notes that an API key was used. Only where the key still exists: a write
-- that loses a race with a revocation must not bring the record back.
-- KEYS[1] the key's record.  ARGV now in ms.
if redis.call("EXISTS", KEYS[1]) == 0 then return 0 end
redis.call("HSET", KEYS[1], "used", ARGV[1])
return 1
