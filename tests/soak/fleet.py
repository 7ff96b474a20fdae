"""What the soaked fleet is: its names, its tiers, how well and how fast they answer, and who may ask it."""

import hashlib
from collections.abc import Mapping
from typing import Final

from heterofleet.api.labels import Tier
from heterofleet.simulate.profile import Profile
from heterofleet.simulate.text import Manner

FLEET: Final = "soak"
SERVED: Final[Mapping[Tier, str]] = {Tier.LARGE: "soak-large", Tier.SMALL: "soak-small"}
COUNTS: Final[Mapping[Tier, int]] = {Tier.LARGE: 3, Tier.SMALL: 4}
MAX_IN_FLIGHT: Final = 16

# Some of the small tier's answers are bad, so that requests escalate all the while.
MANNERS: Final[Mapping[Tier, Manner]] = {
    Tier.LARGE: Manner(SERVED[Tier.LARGE], 1.0, 28),
    Tier.SMALL: Manner(SERVED[Tier.SMALL], 0.93, 20),
}

# Steps are long enough that a stream's pieces come one by one, and cost little where many engines share a core.
PROFILES: Final[Mapping[Tier, Profile]] = {
    Tier.LARGE: Profile("soak-large", 20_000, 0.03, 100e-6, 0.0, 65_536, max_num_seqs=32, max_model_len=16_384),
    Tier.SMALL: Profile("soak-small", 80_000, 0.015, 40e-6, 0.0, 65_536, max_num_seqs=32, max_model_len=16_384),
}

KEYS: Final[Mapping[str, str]] = {"alpha": "sk-soak-alpha-1", "beta": "sk-soak-beta-1"}
"""The clients' key of each tenant."""

STRANGER: Final = "sk-soak-nobody"


def names() -> tuple[str, ...]:
    """What clients may call a model: every engine answers to all of them."""
    return (*SERVED.values(), FLEET, "auto", "plan", "act")


def key_files() -> dict[str, str]:
    """The files of the keys' folder, by tenant."""
    return {tenant: hashlib.sha256(key.encode()).hexdigest() + "\n" for tenant, key in KEYS.items()}
