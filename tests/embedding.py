"""Kill `maskedae embed` at random moments until it is done, and watch its parts."""

import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
from training import live  # noqa: E402


def parts(folder):
    """The parts that are whole, and which file each is."""
    found = {}
    for path in folder.glob("[!.]*.safetensors"):
        try:
            found[path.name] = path.stat().st_ino, path.stat().st_mtime_ns
        except FileNotFoundError:  # the end: they are being removed
            continue
    return found


def kill_until_done(arguments, out, seed):
    """Kill at random moments; return the kills. No part may be written twice."""
    rng, folder, seen, kills = random.Random(seed), out.with_name(f"{out.name}.parts"), {}, 0
    while True:
        child = live(arguments)
        wanted = len(parts(folder)) + rng.randint(0, 4)
        while not out.exists() and len(parts(folder)) < wanted:
            if os.waitpid(child, os.WNOHANG) != (0, 0):
                return kills
        time.sleep(rng.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        now = parts(folder)
        assert all(seen[name] == now[name] for name in seen if name in now), "computed twice"
        assert not now or not set(seen) - set(now), "a part is gone"
        seen |= now
        if not os.WIFSIGNALED(status) or (out.exists() and not folder.exists()):
            return kills
        kills += 1


if __name__ == "__main__":
    # Import all that the command needs once, so that a life costs little more than its parts.
    import maskedae.commands.embed
    import maskedae.datasets.images
    import maskedae.embedding
    import maskedae.feature_maps  # noqa: F401

    print(kill_until_done(sys.argv[3:], Path(sys.argv[2]), int(sys.argv[1])))
