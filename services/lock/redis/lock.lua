-- One call on one resource. All of a resource is one value of one key, so that every
-- call is atomic, in a cluster too.
--
-- KEYS[1]  the resource
-- ARGV     the command, where wake-ups are published, patience (microseconds), and
--          the command's own arguments
--
-- A resource is {token, write, holds, queue, given, done}:
--   holds  {nonce, id, token, ends, lease} of each lock that is granted; due is the
--          end that a hold gets when its waiter has fetched it
--   queue  {nonce, id, write, ttl, lease, seen} of who waits, in order
--   given  {nonce, token, ends}: granted to who waited, who does not know it yet
--   done   the nonce of the last release, which the client may send twice
-- A nonce names a request. Times are microseconds of this server's clock, which a
-- number of Lua holds exactly until the year 2255.

local command, channel, patience = ARGV[1], ARGV[2], tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local raw = redis.call('GET', KEYS[1])
local r = raw and cmsgpack.unpack(raw) or {token = 0, write = false, holds = {}, queue = {}, given = {}}

local function keep(list, wanted)
  local kept = {}
  for _, e in ipairs(list) do
    if wanted(e) then kept[#kept + 1] = e end
  end
  return kept
end

local function find(list, nonce)
  for i, e in ipairs(list) do
    if e.nonce == nonce then return i, e end
  end
end

local function held(id)
  return #keep(r.holds, function(h) return h.id == id end) > 0
end

-- A reader that asks for the write lock; all others would wait for its own.
local function promotes(q)
  return q.write and not r.write and held(q.id)
end

local function admits(q, behind)
  if #r.holds == 0 then return not behind end
  if r.write then return false end
  if not q.write then return not behind end
  return #r.holds == 1 and promotes(q)
end

-- Tokens follow the clock, so that they grow even when the server has lost all it
-- had.
local function grant(q, ends, due)
  r.token = math.max(r.token + 1, now)
  if q.write then r.holds = {} end
  r.write = q.write
  table.insert(r.holds, {nonce = q.nonce, id = q.id, token = r.token, ends = ends, due = due, lease = q.lease})
  return r.token
end

-- Ends what is over and serves the queue. Who waited has to fetch its lock within
-- its patience, or it is the next one's: its daemon may be dead.
local function settle()
  r.holds = keep(r.holds, function(h) return h.ends > now end)
  r.given = keep(r.given, function(g) return g.ends > now end)
  r.queue = keep(r.queue, function(w) return w.seen + patience > now end)
  while r.queue[1] and admits(r.queue[1], false) do
    local w = table.remove(r.queue, 1)
    local token = grant(w, now + math.min(w.ttl, patience), now + w.ttl)
    table.insert(r.given, {nonce = w.nonce, token = token, ends = now + patience})
    redis.call('PUBLISH', channel .. string.sub(w.nonce, 1, 16), w.nonce)
  end
end

local function drop(nonce)
  local function other(e) return e.nonce ~= nonce end
  r.holds, r.queue, r.given = keep(r.holds, other), keep(r.queue, other), keep(r.given, other)
end

local commands = {}

-- Answers {token or 0, how long to wait before the next try, 0: as you like}. last:
-- do not wait (any more).
function commands.acquire(nonce, id, write, ttl, lease, last)
  local q = {nonce = nonce, id = id, write = write == '1', ttl = tonumber(ttl), lease = lease == '1', seen = now}
  local i, g = find(r.given, nonce)
  local _, h = find(r.holds, nonce)
  if g or h then -- its first answer may have been lost
    if g then table.remove(r.given, i) end
    if h and h.due then h.ends, h.due = h.due, nil end
    return {(g or h).token, 0}
  end
  i, g = find(r.queue, nonce)
  if g and last == '1' then
    table.remove(r.queue, i)
  elseif g then
    g.seen = now
  elseif admits(q, #r.queue > 0) then
    return {grant(q, now + q.ttl), 0}
  elseif last ~= '1' then
    table.insert(r.queue, promotes(q) and 1 or #r.queue + 1, q)
  end
  local wait = 0
  if r.queue[1] and r.queue[1].nonce == nonce then
    for _, o in ipairs(r.holds) do
      wait = (wait == 0) and o.ends - now or math.min(wait, o.ends - now)
    end
  end
  return {0, wait}
end

-- The request is withdrawn, whatever came of it.
function commands.leave(nonce)
  drop(nonce)
  return 1
end

-- Answers the nonce of the hold that ended, or false.
function commands.release(nonce, id)
  if r.done == nonce then return '' end
  local first
  for _, h in ipairs(r.holds) do
    if h.id == id and (not first or (h.due or h.ends) < (first.due or first.ends)) then first = h end
  end
  if not first then return false end
  r.holds = keep(r.holds, function(h) return h ~= first end)
  r.done = nonce
  return first.nonce
end

function commands.force()
  r.holds = {}
  return raw and 1 or 0
end

function commands.exists(id)
  return (id == '*' and #r.holds > 0 or held(id)) and 1 or 0
end

-- Answers the nonces of the holds.
function commands.extend(id, ttl, lease)
  local nonces = {}
  for _, h in ipairs(r.holds) do
    if h.id == id then
      h.ends, h.due, h.lease = now + tonumber(ttl), nil, lease == '1'
      table.insert(nonces, h.nonce)
    end
  end
  return nonces
end

function commands.renew(nonce, ttl)
  local _, h = find(r.holds, nonce)
  if not h or not h.lease then return 0 end
  h.ends = now + tonumber(ttl)
  return 1
end

-- Answers write, how many wait, and id, time that is left and token of each hold.
function commands.list()
  local answer = {r.write and 1 or 0, #r.queue}
  for _, h in ipairs(r.holds) do
    table.insert(answer, h.id)
    table.insert(answer, (h.due or h.ends) - now)
    table.insert(answer, h.token)
  end
  return answer
end

settle()
local answer = commands[command](unpack(ARGV, 4))
settle()
local packed = cmsgpack.pack(r)
if r.token > 0 and packed ~= raw then
  local ends = now
  for _, h in ipairs(r.holds) do ends = math.max(ends, h.due or h.ends) end
  -- A day longer, for ForceRelease and for a clock that is set back.
  redis.call('SET', KEYS[1], packed, 'PX', string.format('%.0f', math.ceil((ends - now) / 1000) + 86400000))
end
return answer
