-- announce tells of a change of an op: in the op's own events, in the feed of its shard, which is
-- what a stream of a whole account is made of, and to whoever listens. Answers the change's number.
-- It stands here for "-- include announce" of the scripts that call it. All keys share a slot.
local function announce(op, events, feed, channel, id, now, state, progress, more)
  local seq = redis.call("HINCRBY", op, "seq", 1)
  local body = {"at", now, "state", state, "progress", progress}
  for _, v in ipairs(more or {}) do body[#body + 1] = v end
  redis.call("XADD", events, "MAXLEN", "~", 500, seq .. "-0", unpack(body))
  local of = redis.call("HMGET", op, "account", "kind", "site", "domain")
  -- feedKept in feed.go is the same number.
  redis.call("XADD", feed, "MAXLEN", "~", 4096, "*", "op", id, "seq", seq,
    "account", of[1] or "", "kind", of[2] or "", "site", of[3] or "", "domain", of[4] or "", unpack(body, 3))
  redis.call("PUBLISH", channel, id .. " " .. seq .. " " .. state)
  return seq
end
