"""Engines that are played: one queueing model of continuous batching, for two clocks.

    profile -> Engine (virtual time) -> events            traces run through it, as fast as they can be computed
               Engine + clock -> Driver -> EngineServer   the same behind vLLM's API, in real time

The model (`engine`, `steps`, `kvcache`, `prefixcache`, `events`, `profile`) and what answers are made of (`text`,
`skeleton`, `embedding`, `faults`) are pure: times and seeds are arguments. In `driver` model and clock meet, `server`
is what can be asked over HTTP, `entry` the process.

And fleets that are played: a trace replayed on a fluid of instances, in virtual minutes, under policies side by side.

    rows or metrics -> Trace -> Case (fluid, latency table) -> policies -> Outcome -> figures, log, pictures, page

`study` composes them; `tracefile`, `tracemetrics` and `minutelog` read and write, all else is pure.
"""
