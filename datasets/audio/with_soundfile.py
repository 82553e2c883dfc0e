"""Sounds stored sample by sample, decoded by libsndfile, which opens and seeks at once."""

import re
from collections.abc import Iterator

import soundfile

from maskedae.datasets.audio.sound import BLOCK, Facts, Samples
from maskedae.datasets.films.film import Refused

CLAIM = re.compile(r"(?:data|SSND) : (\d+) \(should be (\d+)\)")  # in libsndfile's words
STREAMED = 0xFFFFFF00  # bytes, or more: said by whoever does not know yet how many will come
ONWARD = ("GSM610", "G721", "G723", "DWVW")  # codecs in which libsndfile cannot seek
BITS = {"PCM_S8": 8, "PCM_U8": 8, "ULAW": 8, "ALAW": 8, "FLOAT": 32, "DOUBLE": 64}


class StoredSound:
    """A WAV, AIFF, AU, CAF or W64 file."""

    def __init__(self, path: str) -> None:
        try:
            self.file = soundfile.SoundFile(path)
        except soundfile.LibsndfileError as error:
            nonsense = "SF_INFO" in error.error_string
            words = (
                "no sample rate that is one, says the header" if nonsense else error.error_string
            )
            raise Refused(words) from error
        self.rate, self.channels = self.file.samplerate, self.file.channels
        self.lost = self.good = 0
        if not self.file.frames:
            self.close()
            raise Refused("no samples: there is a header only")

    def facts(self) -> Facts:
        stored = self.file.subtype
        count = stored.partition("_")[2] if stored.startswith(("PCM_", "ALAC_")) else "0"
        bits = BITS.get(stored) or int(count)
        kind, codec = self.file.format.lower(), self.file.subtype.lower()
        seconds = self.file.frames / self.rate
        promised = seconds * self._promised()
        return Facts(seconds, self.rate, self.channels, kind, codec, bits, promised)

    def _promised(self) -> float:
        """How many times as long as it is the file ought to be."""
        claim = CLAIM.search(self.file.extra_info)
        claimed, found = map(int, claim.groups()) if claim else (1, 1)
        return 1.0 if claimed >= STREAMED or not found else claimed / found

    def pieces(self, first: int, stop: int) -> Iterator[Samples]:
        stop = min(stop, self.file.frames)
        if first >= stop:
            return
        try:
            self._go(first)
            while first < stop:
                block = self.file.read(min(BLOCK, stop - first), "float32", always_2d=True)
                if not len(block):
                    return
                self.good += 1
                yield block
                first += len(block)
        except soundfile.SoundFileError:
            self.lost += 1

    def _go(self, first: int) -> None:
        """Go to a sample, through all before it where there is no other way."""
        if not self.file.subtype.startswith(ONWARD):
            self.file.seek(first)
            return
        for begin in range(0, first, BLOCK):
            self.file.read(min(BLOCK, first - begin), "float32")

    def close(self) -> None:
        self.file.close()
