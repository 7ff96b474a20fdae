"""`make demo`: the product on a real control plane, step by step, each step checked."""
