"""How many unreadable samples a run puts up with."""

import math


class TooManyBad(ValueError):
    """More samples cannot be read than the run puts up with; the message names some of them."""


def check_budget(skipped: dict[str, str], drawn: int, samples: int, share: float) -> None:
    """Raise TooManyBad when the data are surely worse than `share` allows.

    `skipped` are the bad samples met so far, with reasons, beside `drawn` good ones, of `samples`
    in all. Before every sample can have been met, three deviations of chance are allowed for.
    """
    met = min(drawn + len(skipped), samples)
    expected = share * met
    if len(skipped) <= min(share * samples, expected + 3 * math.sqrt(expected)):
        return
    examples = "".join(f"\n  {name}: {why}" for name, why in list(skipped.items())[:10])
    raise TooManyBad(
        f"{len(skipped)} of the first {met} samples could not be read; data.max_bad_share allows "
        f"{share:.3g}. Among them:{examples}\nmaskedae doctor DIR names all of them"
    )
