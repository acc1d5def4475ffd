"""Every response that somebody of the testbed's world can give, whatever the request."""

import itertools
from collections.abc import Iterator

from cai.testbed.world import EVASIONS, KIND, PREACHING, RUDE, Response


def all_responses() -> Iterator[Response]:
    around = list(itertools.product(("", *RUDE, *KIND), ("", *PREACHING)))
    for opening, closing in around:
        for steps in itertools.product(range(2), range(2)):
            yield Response("complies", steps, opening=opening, closing=closing)
        for evasion in EVASIONS:
            yield Response("evades", evasion=evasion, opening=opening, closing=closing)
        yield Response("declines", opening=opening, closing=closing)
