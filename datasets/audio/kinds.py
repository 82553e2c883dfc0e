"""Which files are sounds, and which are films that have sound, by name and by first bytes."""

from maskedae.datasets.films.films import EXTENSIONS as FILMS

SOUNDS = (
    "wav wave w64 rf64 bwf flac ogg oga opus spx mp3 mp2 mpga m4a m4b m4r aac adts aif aiff aifc au"
    " snd caf wma amr ac3 eac3 dts ape wv tta mka"
)
EXTENSIONS = frozenset(f".{name}" for name in SOUNDS.split())
SILENT = "gif mjpeg mjpg y4m 264 h264 265 h265 hevc m2v"  # films that have no sound
CONTAINERS = FILMS - {f".{name}" for name in SILENT.split()}
CHUNKED = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM")
FORMS = (b"WAVE", b"AIFF", b"AIFC")  # at the ninth byte of these
PLAIN = (b".snd", b"caff", b"riff\x2e\x91\xcf\x11")
STARTS = (b"fLaC", b"ID3", b"#!AMR", b"wvpk", b"MAC ", b"TTA1")
OGG = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex  ")  # after the head of the first page
PAGE = 28
BRANDS = (b"M4A ", b"M4B ")


def sniff(head: bytes) -> bool:
    """Recognise a sound by its first bytes."""
    if stored(head):
        return True
    if head[4:8] == b"ftyp":
        return head[8:12] in BRANDS
    if head[:4] == b"OggS":
        return head[PAGE:].startswith(OGG)
    return head.startswith(STARTS) or frame(head)


def stored(head: bytes) -> bool:
    """Recognise a file that holds samples as they are, or nearly."""
    return head.startswith(PLAIN) or (head[:4] in CHUNKED and head[8:12] in FORMS)


def frame(head: bytes) -> bool:
    """Recognise a frame of MP3, MP2 or AAC: eleven bits that are set, and numbers that may be."""
    if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0:
        return False
    if head[1] & 0xF6 == 0xF0:  # AAC
        return head[2] >> 2 & 15 < 13
    version, layer, bits, rate = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer in (1, 2) and bits not in (0, 15) and rate != 3
