"""Collections of labelled sounds as their authors lay them out, besides folders and lists.

A root is one of these too, or else what `maskedae.scanning` describes:

    ESC-50               a folder with
      meta/esc50.csv       columns filename, fold, target, category among any; classes are called by
                           category and numbered by target
      audio/, audio_16k/   the files, in the first of the two that is there
                         held out is fold `fold`, by default the last one
    Speech Commands      a folder with
      WORD/*.wav           of any wanted extension; words are classes, but not _background_noise_
      validation_list.txt, testing_list.txt
                         held out is the validation list or, for a test, the testing list; both are
                         left out of training
    VoxCeleb             a folder with iden_split.txt, or SUPERB's veri_test_class.txt
      1 id10003/na8-QEFmj44/00003.wav
                           1 to train on, 2 for validation, 3 for tests; files lie anywhere below;
                           speakers are classes; held out is 2 or, for a test, 3
    .json                AST, Audio-MAE, CAV-MAE
      {"data": [{"wav": PATH, "labels": "MID,MID"}, ...]}
                           without labels in any, there are none; other keys are not looked at
    .csv                 AudioSet's own
      # YTID, start_seconds, end_seconds, positive_labels
      ID, 30.000, 40.000, "MID,MID"
                           the files, each a whole clip, lie anywhere below the folder of the list:
                           ID.*, ID_30.*, ID_30_40.*, with or without Y in front, zeros, decimals,
                           a hyphen; in seconds or milliseconds

What both lists need of labels, and what else they may have beside them:

    class_labels_indices.csv, NAME_class_labels_indices.csv
      index,mid,display_name
                           names and order of all classes; the only one beside the list, or one
                           folder above, or given as `label_names`; without, classes are MIDs
    LIST_weight.csv      of LIST.json, a number per line, in its order: how often to draw each

Paths are relative to the folder of the list. Files that are listed but not there are counted; how
many there are stands in the remarks, with a digest of which: copies of AudioSet differ.
"""

import os
from dataclasses import dataclass

from maskedae.datasets.audio.audioset import is_segments, json_rows, segment_rows
from maskedae.datasets.audio.folders import ESC, LISTS, SPEAKERS, commands, esc, speakers
from maskedae.scanning import Rows, Wanted


def check_fold(fold: int | None, *places: str | list[str] | None) -> None:
    """Raise ValueError if a fold is asked for, and no root at these places comes in folds."""
    roots = [r for place in places for r in ([place] if isinstance(place, str) else place or ())]
    known = [os.path.join(os.path.expanduser(root), ESC) for root in roots]
    if fold is not None and not any(map(os.path.isfile, known)):
        raise ValueError(
            f"data.fold is {fold}, and {' and '.join(roots)} come in no folds, as ESC-50 does; "
            f"--data.fold=null would fit"
        )


@dataclass(frozen=True)
class Corpora:
    """The layout of all these collections: what to train on, and what to hold out."""

    fold: int | None = None  # held out, of collections that come in folds
    test: bool = False  # hold out what is for tests, where there is validation, too
    label_names: str | None = None  # a file of names and order of classes
    weighted: bool = False  # read how often to draw each sample

    def __call__(self, root: str, wanted: Wanted) -> tuple[Rows, Rows | None] | None:
        """Open a root; None if it is none of these."""
        if os.path.isdir(root):
            if os.path.isfile(os.path.join(root, ESC)):
                return esc(root, wanted, self.fold)
            if all(os.path.isfile(os.path.join(root, name)) for name in LISTS):
                return commands(root, wanted, self.test)
            lists = [os.path.join(root, name) for name in SPEAKERS]
            found = [path for path in lists if os.path.isfile(path)]
            return speakers(found[0], wanted, self.test) if found else None
        if not os.path.isfile(root):
            return None
        if root.lower().endswith(".json"):
            return json_rows(root, wanted, self.label_names, self.weighted), None
        if root.lower().endswith(".csv") and is_segments(root):
            return segment_rows(root, wanted, self.label_names), None
        return None
