-- Gives a reservation back that led to nothing, so that the client may try
-- again with the same key. An answered one stays.
-- KEYS[1] the reservation.  ARGV op id.
if redis.call("HGET", KEYS[1], "op") ~= ARGV[1] then return 0 end
if redis.call("HEXISTS", KEYS[1], "status") == 1 then return 0 end
return redis.call("DEL", KEYS[1])
