"""Lists as others write them, with empty files beside them."""

import os

from maskedae.listing import open_splits


def plant(root, *names):
    """Empty files."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def read(wanted, path, text, **options):
    """What is found in a list of that text: paths, or pairs of path and class."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    listing = open_splits([str(path)], wanted._replace(**options)).train
    names = [os.path.relpath(listing.path(i), path.parent) for i in range(len(listing))]
    if listing.labels is None:
        return names
    return list(zip(names, [listing.classes[i] for i in listing.labels.tolist()], strict=True))
