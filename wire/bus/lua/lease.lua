-- Hold a slot for a call. Returns {worker, advert} or nothing when all slots are taken.
-- KEYS: heartbeats, adverts, call leases.  ARGV: prefix of the lease sets, call, ttl in seconds, wish (JSON).
local heartbeats, adverts, calls = KEYS[1], KEYS[2], KEYS[3]
local prefix, call, ttl_s, wish = ARGV[1], ARGV[2], tonumber(ARGV[3]), cjson.decode(ARGV[4])
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

local held = redis.call('HGET', calls, call)

local function hold(worker, advert)
  if held and held ~= worker then
    redis.call('ZREM', prefix .. held, call)
  end
  redis.call('ZADD', prefix .. worker, now + ttl_s, call)
  redis.call('HSET', calls, call, worker)
  return {worker, advert}
end

if held and held ~= wish.instead_of then
  local alive_until = redis.call('ZSCORE', heartbeats, held)
  local advert = redis.call('HGET', adverts, held)
  if alive_until and tonumber(alive_until) > now and advert then
    return hold(held, advert)
  end
  redis.call('ZREM', prefix .. held, call)
  redis.call('HDEL', calls, call)
  held = false
end
if wish.suspect then
  redis.call('ZADD', heartbeats, 'XX', 0, wish.instead_of)
end

-- An empty list means any; so does an empty wish.
local function among(list, wanted)
  if wanted == '' or #list == 0 then
    return true
  end
  for _, one in ipairs(list) do
    if one == wanted then
      return true
    end
  end
  return false
end

local function will_do(offer)
  return among(offer.agents, wish.agent)
    and among(offer.languages, wish.language)
    and (wish.engine == '' or wish.engine == offer.engine)
    and (wish.chunk_ms == 0 or wish.chunk_ms == offer.chunk_ms)
    and (wish.first_chunk_ms == 0 or wish.first_chunk_ms == offer.first_chunk_ms)
end

local best, best_advert, best_free, best_near = nil, nil, 0, false
for _, worker in ipairs(live) do
  local advert = worker ~= wish.instead_of and redis.call('HGET', adverts, worker)
  if advert then
    local offer = cjson.decode(advert)
    local free = offer.slots - redis.call('ZCARD', prefix .. worker)
    local near = wish.zone ~= '' and wish.zone == offer.zone
    local better = near == best_near and free > best_free or near and not best_near
    if free > 0 and better and will_do(offer) then
      best, best_advert, best_free, best_near = worker, advert, free, near
    end
  end
end
if best then
  return hold(best, best_advert)
end
return false
