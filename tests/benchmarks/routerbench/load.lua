-- What wrk sends: the lines of BODIES in turn, for WARM and then SECONDS seconds, each to its end.
--
-- wrk drops what is under way when its time is up, so that nobody could say how many requests were sent. Here its time
-- is never up: after the window every connection goes on with GET /v1/models, the requests of the window all come to
-- their end, and then whoever started wrk ends it. `begin` and `end` are printed with the number sent and the time.

local ffi = require("ffi")
ffi.cdef([[
  typedef struct { long seconds; long nanoseconds; } moment;
  int clock_gettime(int clock, moment *now);
]])

local WARM, SECONDS = tonumber(os.getenv("WARM")), tonumber(os.getenv("SECONDS"))
local MONOTONIC = 1
local EVERY = tonumber(os.getenv("LOOK_EVERY"))
local moment = ffi.new("moment")
local bodies, after = {}, nil
-- wrk asks once for a request that it does not send, to see what it is.
local sent = -1
local started, began, over = nil, nil, false

local function now()
  ffi.C.clock_gettime(MONOTONIC, moment)
  return tonumber(moment.seconds) + tonumber(moment.nanoseconds) / 1e9
end

local function say(what, at)
  io.write(string.format("%s %d %.6f\n", what, sent, at))
  io.flush()
end

local function look()
  local at = now()
  if started == nil then
    started = at
  elseif began == nil then
    if at - started >= WARM then
      began = at
      say("begin", at)
    end
  elseif at - began >= SECONDS then
    over = true
    say("end", at)
  end
end

function init(_)
  local headers = { ["Content-Type"] = "application/json" }
  for body in io.lines(os.getenv("BODIES")) do
    bodies[#bodies + 1] = wrk.format("POST", nil, headers, body)
  end
  after = wrk.format("GET", "/v1/models")
end

function request()
  if over then
    return after
  end
  sent = sent + 1
  if sent % EVERY == 0 then
    look()
  end
  return bodies[sent % #bodies + 1]
end

function done(summary, _, _)
  local errors = summary.errors
  io.write(string.format("errors %d %d\n", errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
