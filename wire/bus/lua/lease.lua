-- Hold a slot for a call. Returns {worker, advert} or nothing when all slots are taken.
-- KEYS: heartbeats, adverts, call leases.  ARGV: prefix of the lease sets, call, ttl in seconds, agent ('' = any).
local heartbeats, adverts, calls = KEYS[1], KEYS[2], KEYS[3]
local prefix, call, ttl_s, agent = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000

-- Leases that ran out go first. A worker that is gone stays listed while it holds a lease: it may come back.
local live = {}
local listed = redis.call('ZRANGE', heartbeats, 0, -1, 'WITHSCORES')
for i = 1, #listed, 2 do
  local worker, alive_until = listed[i], tonumber(listed[i + 1])
  local leases = prefix .. worker
  for _, over in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now)) do
    redis.call('ZREM', leases, over)
    if redis.call('HGET', calls, over) == worker then
      redis.call('HDEL', calls, over)
    end
  end
  if alive_until > now then
    live[#live + 1] = worker
  elseif redis.call('ZCARD', leases) == 0 then
    redis.call('ZREM', heartbeats, worker)
    redis.call('HDEL', adverts, worker)
  end
end

local function hold(worker, advert)
  redis.call('ZADD', prefix .. worker, now + ttl_s, call)
  redis.call('HSET', calls, call, worker)
  return {worker, advert}
end

local held = redis.call('HGET', calls, call)
if held then
  local alive_until = redis.call('ZSCORE', heartbeats, held)
  local advert = redis.call('HGET', adverts, held)
  if alive_until and tonumber(alive_until) > now and advert then
    return hold(held, advert)
  end
  redis.call('ZREM', prefix .. held, call)
  redis.call('HDEL', calls, call)
end

local best, best_advert, best_free = nil, nil, 0
for _, worker in ipairs(live) do
  local advert = redis.call('HGET', adverts, worker)
  if advert then
    local offer = cjson.decode(advert)
    local plays = agent == '' or #offer.agents == 0
    for _, name in ipairs(offer.agents) do
      plays = plays or name == agent
    end
    local free = offer.slots - redis.call('ZCARD', prefix .. worker)
    if plays and free > best_free then
      best, best_advert, best_free = worker, advert, free
    end
  end
end
if best then
  return hold(best, best_advert)
end
return false
