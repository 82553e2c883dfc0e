from maskedae.doctor.wording import plain, report, shortened

FACTS = {
    "folder": "/nowhere/pictures",
    "remembered": 0,
    "files": {"train": 3, "held_out": 1},
    "ignored": {".txt": 1200},
    "notes": ["3 of 4 in list.json are there"],
    "beside": ["/nowhere/pictures/extra"],
    "bad": [{"path": "/nowhere/a.png", "reason": "empty file"}],
    "warnings": [{"warning": "very wide", "files": 2, "example": "/nowhere/b.png"}],
    "kinds": {
        "image": {
            "count": 3,
            "mode": {"RGB": 3},
            "size": {
                "min": (1, 2),
                "median": (3, 4),
                "max": (5, 6000),
                "distinct": 3,
                "common": [[(3, 4), 2]],
            },
            "mean": [0.5, 0.25, 0.125],
            "std": [0.1, 0.2, 0.3],
        }
    },
    "labels": {"classes": {"cat": {"train": 3, "held_out": 1}}, "missing": {}, "odd": ["alone"]},
    "copies": {
        "surplus": {"train": 1, "held_out": 0},
        "in both": [["/nowhere/b.png", "/nowhere/c.png"]],
        "in several classes": [],
    },
}


def test_plain():
    assert plain("é 日 \\") == "é 日 \\"
    assert plain("a\udcff\n\x1b[31m") == "a\\udcff\\n\\x1b[31m"


def test_report():
    text = "\n".join(report(FACTS))
    assert "  3 of 4 in list.json are there\n" in text
    for part in (
        "3 files to train on, 1 held out",
        "no samples: .txt 1,200",
        "not read, as they lie next to train: extra",
        "min 1 x 2, median 3 x 4, max 5 x 6,000",
        "most common: 3 x 4 (2)",
        "mean: [0.5000, 0.2500, 0.1250]\n    std: [0.1000, 0.2000, 0.3000]",
        "cat  train 3, held_out 1",
        "WARNING alone",
        "WARNING 1 in train and held out alike, so that scores will flatter\n    b.png = c.png",
        "2 like b.png: very wide",
        "a.png: empty file",
        "1 of 4 files cannot be read",
    ):
        assert part in text


def test_gray_needs_one_number():
    gray = {**FACTS["kinds"]["image"], "mean": [0.5] * 3, "std": [0.25] * 3}
    text = "\n".join(report({**FACTS, "kinds": {"image": gray}, "bad": []}))
    assert "mean: [0.5000]\n    std: [0.2500]" in text and "all 4 files can be read" in text


def test_long_lists_are_shortened():
    lines = list(shortened([str(number) for number in range(1234)]))
    assert len(lines) == 11 and lines[-1] == "  and 1,224 more: --json FILE names them"
