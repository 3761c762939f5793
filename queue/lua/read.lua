local fields = {FIELDS}
-- Reads an op, by its own id or as the newest op of an install, in one piece.
-- The fields are filled in by script.go; the first is "state", the second "site".
-- KEYS 1 op, or last of an install
-- ARGV 1 id (op_… or wp_…)  2 prefix of op keys  3 prefix of fifo keys
-- Answer nil when there is none, else one string: "<n>,<n>,…;" and the values back to back,
--        led by the op's id and its position in the FIFO. One string, because a client decodes
--        it without an allocation per field.
local id, key = ARGV[1], KEYS[1]
if string.sub(id, 1, 3) == "wp_" then
  id = redis.call("GET", KEYS[1])
  if not id then return false end
  key = ARGV[2] .. id -- the same slot: it has the install's hash tag
end
local values = redis.call("HMGET", key, unpack(fields))
if not values[1] then return false end
local position = "0"
if values[1] == "queued" then
  position = tostring(redis.call("LPOS", ARGV[3] .. values[2], id) or 0)
end
local sizes, out = {#id, #position}, {id, position}
for i = 1, #fields do
  local v = values[i] or ""
  sizes[i + 2], out[i + 2] = #v, v
end
return table.concat(sizes, ",") .. ";" .. table.concat(out)
