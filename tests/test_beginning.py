"""What pre-training starts from, and what it learns from besides signals."""

import sys
from itertools import permutations
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from maskedae import create_model
from maskedae.beginning import Teacher, adopt, any_teacher, begin, load_teacher
from maskedae.datasets.audio_video import AudioVideo
from maskedae.pairs import Pair
from maskedae.recipe import Recipe
from maskedae.settings import Train
from maskedae.weights import load_with_report
from maskedae.zoo import model_config

sys.path.append(str(Path(__file__).parent))
from pairing import TINY, mavil, pair  # noqa: E402

NAME, IMAGE = "mavil_vit_base", "mae_vit_tiny_patch16"


@pytest.fixture
def saved(tmp_path):
    """Writes a model, and returns where."""

    def write(model):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        model.save_pretrained(folder)
        return str(folder)

    return write


def recipe(teacher=None, begin=(), name=NAME, **settings):
    tiny = TINY if name == NAME else {}
    config = model_config(name, **{**tiny, **settings})
    return Recipe(name, config, AudioVideo(), Train(), begin=tuple(begin), teacher=teacher)


def test_a_teacher_is_frozen_and_tells_what_it_told(saved):
    model = mavil()
    teacher = load_teacher(recipe(saved(model), predicts="features"))
    assert not any(p.requires_grad for p in teacher.parameters()) and not teacher.model.training
    signal = pair()
    for found, expected in zip(teacher(signal), model.eval().teach(signal), strict=True):
        assert_close(found, expected)
        assert not found.requires_grad


def test_no_teacher_where_signals_are_predicted():
    assert load_teacher(recipe()) is None
    assert load_teacher(recipe(name=IMAGE)) is None


def test_teachers_of_another_kind_are_refused(saved):
    place = saved(mavil())
    for wrong, words in (
        (recipe(predicts="features"), "--teacher CHECKPOINT"),
        (recipe(place), "--model.predicts=features"),
        (recipe(place, name=IMAGE), "--model.predicts=features"),
        (recipe(place, predicts="features", width=96), "of width 48 .* the model of width 96"),
        (recipe(place, predicts="features", video_size=(4, 32, 16)), "the same would fit"),
        (recipe(place, predicts="features", audio_patch=(4, 16)), "in patches of 4 x 16"),
        (recipe(saved(mavil(modality="a")), predicts="features"), "teaches nothing"),
    ):
        with pytest.raises(ValueError, match=words):
            load_teacher(wrong)
    alone = recipe(saved(mavil(modality="a")), predicts="features", modality="a")
    with pytest.raises(ValueError, match="which teaches nothing"):
        load_teacher(alone)


def test_any_teacher_is_one_of_the_same_build():
    model = mavil(predicts="features")
    teacher = any_teacher(model, model_config(NAME, predicts="features"))
    assert isinstance(teacher, Teacher) and teacher.model is not model
    assert all(p.requires_grad for p in model.encoder.fusion.parameters())
    assert any_teacher(mavil(), model_config(NAME)) is None
    alone = {"predicts": "features", "modality": "v"}
    assert any_teacher(mavil(**alone), model_config(NAME, **alone)) is None


def test_several_in_turn(saved, tiny):
    tiny = {**tiny, "width": 48, "depth": 2, "heads": 4}
    still, whole = create_model(IMAGE, **tiny), mavil()
    places = [saved(still), saved(whole)]
    model = mavil(predicts="features")
    asked = recipe(places[1], [places[0], "teacher"], predicts="features")
    said = begin(model, asked, load_teacher(asked))
    lines = said.splitlines()
    assert lines[0] == f"teacher   {places[1]}"
    assert lines[1].startswith(f"init      {places[0]}: ")
    assert lines[-1].startswith("init      teacher: ")
    assert_close(model.encoder.state_dict(), whole.encoder.state_dict())  # the last one's
    begin(model, recipe(None, [places[0]]))
    kernel = model.encoder.video.embed.weight
    assert_close(kernel[:, :, 0], still.encoder.embed.weight)


def test_from_chance_and_from_a_teacher_that_there_is_not():
    model = mavil()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert begin(model, recipe(begin=["none"])) == "" == begin(model, recipe())
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
    with pytest.raises(ValueError, match="--teacher CHECKPOINT"):
        begin(model, recipe(begin=["teacher"]))


def test_of_the_same_system_the_whole_encoder_is_adopted(saved, tiny):
    donor = load_with_report(saved(create_model(IMAGE, **tiny)))
    model = create_model(IMAGE, **{**tiny, "decoder_width": 24})
    (note,) = adopt(model, donor)
    assert f"of {len(model.state_dict())} tensors of {IMAGE}" in note
    for name, value in model.encoder.state_dict().items():
        assert value.equal(donor.model.encoder.state_dict()[name])
    other = create_model(IMAGE, **{**tiny, "depth": tiny["depth"] + 1})
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(ValueError, match="does not fill the encoder: encoder.blocks"):
        adopt(other, donor)
    assert all(value.equal(before[name]) for name, value in other.state_dict().items())


def test_one_kind_alone_starts_from_its_like(saved):
    donor = mavil(modality="a")
    model = mavil(modality="a")
    begin(model, recipe(begin=[saved(donor)], modality="a"))
    signal = torch.randn(2, 1, 64, 32)
    with torch.no_grad():
        assert model.encoder(signal).equal(donor.encoder(signal))


@pytest.mark.parametrize("name", [NAME, "cav_mae_vit_base"])
def test_one_kind_alone_starts_from_its_part_of_both(saved, name):
    settings = {**TINY, "video_size": (1, 32, 32), "video_patch": (1, 8, 8)}
    whole = create_model(name, **settings)
    alone = create_model(name, **settings, modality="a")
    given = recipe(begin=[saved(whole)], name=name, **settings, modality="a")
    begin(alone, given)
    signal = pair((1, 1), (1, 1))
    with torch.no_grad():
        tokens = alone.encoder.forward_features(signal.audio)
        still = Pair(signal.audio, signal.video[:, :, :1], *signal.present)
        assert_close(tokens, whole.encoder.each(still)[0])
    other = create_model(name, **settings, modality="v")
    with pytest.raises(ValueError, match="does not fill the encoder"):
        begin(other, recipe(begin=[saved(alone)], name=name, **settings, modality="v"))


def test_the_order_of_several_does_not_matter(saved):
    sizes = {name: TINY[name] for name in ("width", "depth", "heads", "decoder_depth")}
    sizes |= {"decoder_width": 32, "decoder_heads": 2}
    clip = {"size": (4, 32, 32), "patch": (2, 8, 8)}
    donors = (
        create_model("mae_vit_base_patch16", **sizes, size=(32, 32), patch=(8, 8)),
        create_model("audiomae_vit_base_patch16", **sizes, size=(64, 32), patch=(8, 8)),
        create_model("videomae_vit_base_patch16", **sizes, **clip),
    )
    places = [saved(donor) for donor in donors]
    fresh, found = mavil().state_dict(), []
    for order in permutations(range(3)):
        model = mavil()
        model.load_state_dict(fresh)
        begin(model, recipe(begin=[places[number] for number in order]))
        found.append(model.state_dict())
    assert all(value.equal(other[key]) for other in found for key, value in found[0].items())
    encoders = [donor.encoder.state_dict() for donor in donors]
    for side, theirs in (("audio", encoders[1]), ("video", encoders[2])):
        key = "blocks.1.attn.qkv.weight"
        assert found[0][f"encoder.{side}.{key}"].equal(theirs[key])
    met = found[0]["encoder.fusion.blocks.0.attn.qkv.weight"]
    assert met.equal(encoders[2]["blocks.1.attn.qkv.weight"])
    with pytest.raises(ValueError, match="one of them would fit"):
        begin(mavil(), recipe(begin=[places[1], saved(donors[1])]))


def test_students_keep_the_licences_of_all_they_are_made_of(saved, tmp_path):
    teacher, student = mavil(), mavil(predicts="features")
    teacher.encoder.recipe["licence"] = "CC BY-NC 4.0"
    donor = mavil()
    donor.encoder.recipe |= {"licence": "MIT; CC BY-NC 4.0", "source": "elsewhere"}
    wanted = recipe(saved(teacher), begin=[saved(donor)], predicts="features")
    begin(student, wanted, load_teacher(wanted))
    assert student.encoder.recipe["licence"] == "CC BY-NC 4.0; MIT"
    assert student.encoder.recipe["source"] == "elsewhere"


def test_a_run_knows_its_teacher_again():
    teacher = Teacher(mavil())
    known = teacher.check(None)
    assert teacher.check(known) == known
    other = mavil()
    torch.nn.init.ones_(other.encoder.norm.bias)
    with pytest.raises(ValueError, match="of other weights"):
        Teacher(other).check(known)


def test_a_teacher_says_what_it_is_used_to():
    model = mavil()
    model.encoder.recipe["data"] = {"init_args": {"mean": [-4.0], "interval": 0.5}}
    assert Teacher(model).unlike(AudioVideo(mean=[-4.0], interval=0.5)) == ""
    assert (
        Teacher(model).unlike(AudioVideo(interval=0.25))
        == "mean [-4.0], here None, interval 0.5, here 0.25"
    )
