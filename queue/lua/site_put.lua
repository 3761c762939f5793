-- Writes an install's inventory record.
-- KEYS[1] the site.  ARGV record (JSON), who ("op" or "scan"), at in ms: when
-- the op wrote, or when the scan began, both by the node's clock.
-- A scan that began before an op's last write saw an older state: it answers 0
-- and changes nothing.
if ARGV[2] == "op" then
  redis.call("HSET", KEYS[1], "rec", ARGV[1], "put", ARGV[3])
else
  local put = tonumber(redis.call("HGET", KEYS[1], "put") or "0")
  if put >= tonumber(ARGV[3]) then return 0 end
  redis.call("HSET", KEYS[1], "rec", ARGV[1])
end
redis.call("PERSIST", KEYS[1])
return 1
