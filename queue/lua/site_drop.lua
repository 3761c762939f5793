-- Removes an install's inventory record.
-- KEYS[1] the site, KEYS[2] its FIFO of ops.  ARGV who ("op" or "scan"), at in
-- ms as for site_put, ms to remember a removal by an op.
-- An op knows what it did. A scan answers 0 and changes nothing while an op
-- waits or runs (it may be making the very files that the scan missed), or when
-- an op wrote after the scan began.
if ARGV[1] == "op" then
  redis.call("HDEL", KEYS[1], "rec")
  redis.call("HSET", KEYS[1], "put", ARGV[2]) -- holds off scans that still saw it
  redis.call("PEXPIRE", KEYS[1], ARGV[3])
  return 1
end
if redis.call("LLEN", KEYS[2]) > 0 then return 0 end
local put = tonumber(redis.call("HGET", KEYS[1], "put") or "0")
if put >= tonumber(ARGV[2]) then return 0 end
redis.call("DEL", KEYS[1])
return 1
