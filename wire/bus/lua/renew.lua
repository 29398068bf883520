-- Hold leases for longer, and again those that a server lost which forgot its data: the calls do run.
-- Returns the calls that others hold by now.
-- KEYS: call leases, heartbeats.  ARGV: prefix of the lease sets, ttl in seconds, then call, worker, call, worker ...
local calls, heartbeats = KEYS[1], KEYS[2]
local prefix, ttl_s = ARGV[1], tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local lost = {}
for i = 3, #ARGV, 2 do
  local call, worker = ARGV[i], ARGV[i + 1]
  local held = redis.call('HGET', calls, call)
  -- Another gateway may have moved the call; its lease is the newer one.
  if not held or held == worker then
    redis.call('ZADD', prefix .. worker, now + ttl_s, call)
    redis.call('HSET', calls, call, worker)
    redis.call('ZADD', heartbeats, 'NX', 0, worker) -- listed, though not alive, so that the lease is cleared away
  else
    lost[#lost + 1] = call
  end
end
return lost
