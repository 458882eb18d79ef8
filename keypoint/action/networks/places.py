"""Sites of the papers' places in a network of any depth.

Sources: see names.py. A network's `stages` are the names of its units (residual blocks) by stage, 2
to 5. "Before a unit" is implemented as after the previous unit, which has the same map.

The five of the non-local networks follow the 2nd and 4th unit of res3 and the 2nd, 4th and 6th of
res4; in ResNet-101, with 23 units in res4, the 7th, 14th and 21st (video-nonlocal-net,
lib/models/resnet_video.py).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from keypoint.action.networks.names import PLACES
from keypoint.errors import ConfigError

Stages = Mapping[int, tuple[str, ...]]

FIVE = 5
UNITS_OF_RESNET101, STEP_OF_RESNET101 = 23, 7


def sites_of_places(places: str, stages: Stages, network: str) -> tuple[str, ...]:
    """Return the sites that blocks follow, in the order of the forward pass.

    Args:
        places: A key of `PLACES`.
        stages: Names of the network's units, by stage 2 to 5.
        network: Its name, for errors.

    Raises:
        ConfigError: The places are unknown, or "five" does not fit the number of units.
    """
    if places not in PLACES:
        near = difflib.get_close_matches(str(places), PLACES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"places={places!r} must be one of {', '.join(PLACES)}{hint}")
    third, fourth = stages[3], stages[4]
    if places in ("res4", "res3+res4"):
        return (*(third[-1:] if "res3" in places else ()), fourth[-1])
    if places == "each":
        return (*third, *fourth)
    if places.startswith("x1"):
        return (stages[int(places[-1]) if "@" in places else 4][-2],)
    if places == "five":
        step = STEP_OF_RESNET101 if len(fourth) == UNITS_OF_RESNET101 else 2
        sites = (*third[1::2], *fourth[step - 1 :: step])
    else:
        sites = (*third[0::2], *fourth[0::2])
    if len(sites) != FIVE:
        raise ConfigError(
            f"places={places} is for networks with 4 units in res3 and 6 in res4; {network} has "
            f"{len(third)} and {len(fourth)}; choose other places, or name sites with "
            "blocks={site: name, ...}"
        )
    return sites
