"""How many unreadable samples a run puts up with."""

import math


class TooManyBad(ValueError):
    """More samples cannot be read than the run puts up with; the message names some of them."""


def check_budget(skipped: dict[str, str], drawn: int, samples: int, share: float) -> None:
    """Raise TooManyBad when the data are surely worse than `share` allows.

    `skipped` are the bad samples met so far, with reasons, in `drawn` draws from `samples`. Before
    every sample can have been drawn once, three deviations of chance are allowed for.
    """
    expected = share * min(drawn, samples)
    if len(skipped) <= min(share * samples, expected + 3 * math.sqrt(expected)):
        return
    examples = "".join(f"\n  {name}: {why}" for name, why in list(skipped.items())[:10])
    raise TooManyBad(
        f"{len(skipped)} samples could not be read, of {min(drawn, samples)} drawn from {samples}; "
        f"data.max_bad_share allows {share:.3g}. Among them:{examples}\nmaskedae doctor DIR names "
        f"all of them"
    )
