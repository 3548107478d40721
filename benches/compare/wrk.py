"""wrk, the load for small answers: many a second, and how long each took."""

import json

import machine

SCRIPT = """
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('\\nRESULT {"requests": %d, "bytes": %d, "seconds": %f, "failed": %d, "p99": %f, "slowest": %f}\\n',
    summary.requests, summary.bytes, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(99) / 1e6, latency.max / 1e6))
end
"""

# Each request in the name of the next of so many callers, round and round.
CALLERS = """
local number, callers = 0, %d
request = function()
  number = number %% callers + 1
  return wrk.format(nil, nil, {["Authorization"] = "Bearer caller-" .. number})
end
"""


class Wrk:
    def __init__(self, folder):
        self.folder = folder

    def run(self, url, connections, seconds, headers=(), extra=""):
        script = self.folder / "wrk.lua"
        script.write_text(extra + SCRIPT)
        given = [part for header in headers for part in ("-H", header)]
        out = machine.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", script, *given, url],
            timeout=seconds + 60,
        )
        return json.loads(out.split("RESULT ")[1])
