"""The data plane: sends every request to the cheapest tier that answers it well (`server` is its process).

    bytes -> openai.parse -> classify -> cache -> budget -> admission -> pick -> relay -> quality
          -> done, or policy says Retry, Adjust, Escalate, Review or Fail

The decisions (classify, prefix, pick, breaker, admission, policy, quality, budget, compliance) are pure and know
nothing of each other; `pipeline` composes them over `upstream` and `relay`, which move the bytes.
"""
