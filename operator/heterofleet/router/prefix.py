"""By which hash a conversation finds the large instance that has its beginning in its prefix cache.

Stands before `pick.affine`. An engine reuses the KV cache of the longest beginning that a prompt shares with an earlier
one, so all turns of a conversation should reach one instance, although the prompt grows with each, while conversations
that share nothing but a long system prompt should not all reach the same one.

    affinity_key  xxh3 over everything before the first message of the user, and the first block of that message

The last block of a prompt names a turn, the first one names an application, and so does the whole of the system prompt;
what is the same in all turns of a conversation and in few others is its system prompt together with how its user began.
No more than a block of that message counts, so that questions about one long document, which stands before them in the
same message, reach the instance that has read it, and so that a prompt of /v1/completions, one growing message only,
keeps its key. A popular system prompt is thereby cached on every instance, as it soon would be anyhow, since bounded
loads spread what is popular. Where a few conversations share a document in their system prompt, only the client knows
it; OpenAI's `prompt_cache_key` says so, and stands in the place of how the user began.

Others keep state: vllm-router and SGLang (cache_aware) a radix tree of all texts, each router its own, so that routers
disagree and a request costs more the longer it is; production-stack a trie (prefixaware), or a header that clients must
set (session). KubeAI hashes too, but so many characters from the start: one length that is to fit every system prompt,
and where it is too short everything meets at one instance.
"""

from collections.abc import Mapping
from typing import Any

import xxhash

from heterofleet.router.openai import Request

_hash = xxhash.xxh3_64_intdigest


def affinity_key(request: Request, block_characters: int) -> int:
    """The 64-bit hash that all turns of a conversation share, and few other conversations do.

    `cache_salt` separates, as it does in vLLM: what is salted otherwise can share no cache. Tools are left out, since
    conversations differ by them that differ in their system prompt too, and to read them costs more than all the rest.
    `user` is left out, since two users who ask the same share its cache. Where no message is the user's, all of the
    conversation counts.
    """
    key = _seed(request.fields)
    named = request.fields.get("prompt_cache_key")
    for role, text in request.messages:
        if role == "user":
            break
        key = _hash(text.encode(), _hash(role.encode(), key))
    else:
        text = ""
    beginning = named if isinstance(named, str) and named else text[:block_characters]
    return _hash(beginning.encode(), key)


def _seed(fields: Mapping[str, Any]) -> int:
    salt = fields.get("cache_salt")
    return _hash(salt.encode()) if isinstance(salt, str) and salt else 0
