"""A table of bad input of every kind: of flags, configurations, data, photos, episodes, weights, runs."""

import shutil

import numpy as np

import ablate
import eval as evaluation
import predict
import train
from benchmarks.damaged_files import encoded
from datasets import prepare as preparing
from fsjax import analyze, compare, export
from tests.commands.bad_files import (
    altered,
    content,
    cut,
    description,
    episodes,
    photos,
    pipe,
    piped,
    replaced,
    results,
    run,
    shown,
)  # fmt: skip

MINI = "--config={w}/mini.py"
TRAIN = (train, MINI, "--workdir={o}")
EVAL = (evaluation, MINI, "--out={o}")
PREDICT = (predict, "--model={w}/untrained", "--support={t}/shown", "--query={t}/shown", "--out={o}")
VOC = (preparing, "--dataset=pascal5i", "--manual_dir={w}/voc", "--tfds_dir={o}")

CASES = {
    # Flags
    "unknown flag": (*TRAIN, "--wrkdir=x", None, "There is no flag --wrkdir: did you mean --workdir?"),
    "no flag": (*TRAIN, "x", None, "'x' is not a flag: write --name=value."),
    "flag out of range": (
        *PREDICT, "--threshold=2", shown(lambda folder: None),
        "--threshold is '2': give a number from 0 to 1.",
    ),
    "flag missing": (predict, "--out={o}", None, "--support is missing: it names"),
    "no place for results": (
        evaluation, MINI, None, "Name a folder for the tables and pictures with --out, or",
    ),
    "two places for results": (*EVAL, "--save_episodes={t}/e.jsonl", None, "one of both."),
    "run and configuration": (
        *EVAL, "--workdir={w}/untrained", None, "--config and --workdir exclude each other",
    ),
    "unknown kind of data": (
        preparing, "--dataset=voc", "--manual_dir={w}", "--tfds_dir={o}", None,
        "--dataset is 'voc': give pascal5i or coco20i or folders.",
    ),
    "one folder for two": (export, "{w}/untrained", None, "Name the folder of a run and the file to write"),
    "unknown step": (
        evaluation, "--workdir={w}/untrained", "--step=5", "--out={o}", None,
        "There is no checkpoint 5 in {w}/untrained, only [6]: name one",
    ),
    # Configurations
    "no configuration": (
        train, "--config={t}/none.py", "--workdir={o}", None,
        "There is no configuration {t}/none.py: choose from",
    ),
    "configuration that is a pipe": (
        train, "--config={t}/c.py", "--workdir={o}", pipe("c.py"),
        "The configuration {t}/c.py is no ordinary file: name a Python file",
    ),
    "configuration that is broken": (
        train, "--config={t}/c.py", "--workdir={o}", content("c.py", b"def get_config(:"),
        "The configuration {t}/c.py cannot be read, SyntaxError",
    ),
    "configuration without get_config": (
        train, "--config={t}/c.py", "--workdir={o}", content("c.py", b"x = 1"),
        "has no attribute 'get_config': mend it.",
    ),
    "configuration in UTF-16": (
        train, "--config={t}/c.py", "--workdir={o}", content("c.py", "x = 1".encode("utf-16")),
        "The configuration {t}/c.py cannot be read, SyntaxError",
    ),
    "behind the colon": (
        train, MINI + ":flod=1", "--workdir={o}", None,
        "'flod=1' behind the configuration's colon is unknown: write fold=",
    ),
    "unknown field": (
        *TRAIN, "--config.train.step=5", None,
        "The configuration has no field train.step: did you mean train.steps?",
    ),
    "section": (
        *TRAIN, "--config.train=5", None,
        "train is a section of fields, not a value: set those in it, as --config.train.",
    ),
    "words for a number": (
        *TRAIN, "--config.train.steps=many", None, "train.steps is 'many': give a whole number from 0",
    ),
    "number out of range": (
        *TRAIN, "--config.train.steps=-1", None, "train.steps is -1: give a whole number from 0",
    ),
    "no finite number": (
        *TRAIN, "--config.train.learning_rate=nan", None, "train.learning_rate is nan: give a number above 0",
    ),
    "none of the choices": (
        *TRAIN, "--config.model.name=unet", None, "model.name is 'unet': give 'prnet', 'dpnet' or 'fssdino'.",
    ),
    "unknown row": (
        *EVAL, "--config.eval.rows=fusion7", None, "eval.rows holds 'fusion7': choose from fusion0",
    ),
    "nothing to train": (
        *TRAIN, "--config.train.steps=0", None, "trains nothing, train.steps being 0: give it to eval.py.",
    ),
    "nothing to ablate": (
        ablate, MINI, "--out={o}", None, "The ablation is DPNet's: give a configuration of it",
    ),
    # Settings and data
    "unknown fold": (*TRAIN, "--config.fold=4", None, "fold=4 does not exist; choose one of 0 to 1."),
    "data set that is not there": (*TRAIN, "--config.data.tfds_dir={t}/x", None, "mini in {t}/x: prepare it"),
    "unknown data set": (
        *TRAIN, "--config.data.name=coco20i", None,
        "There is no data set coco20i in {w}/built (there is mini): prepare it with python",
    ),
    "no name of a data set": (
        *TRAIN, "--config.data.name=../voc", None, "'../voc' is no name for a data set: give letters",
    ),
    "unknown list": (
        *TRAIN, "--config.data.train_list=trainaug", None, "mini has no list 'trainaug': it has all.",
    ),
    "unknown class in folds": (
        *TRAIN, "--config.data.folds=(('cat', 'dgo'),)", None,
        "data.folds has the class 'dgo', which the data set has not: is it 'dog'?",
    ),
    "unknown class left out": (
        *TRAIN, "--config.data.leave_out=cta", None,
        "data.leave_out has the class 'cta', which the data set has not: is it 'cat'?",
    ),
    "more ways than classes": (
        *TRAIN, "--config.eval.ways=3", None, "ways=3 needs as many classes, and there are 2",
    ),
    "more shots than photos": (*TRAIN, "--config.train.shots=9", None, "an episode needs 10 of one class"),
    "objects too small": (*TRAIN, "--config.data.min_area=100000", None, "0 eligible images"),
    "class of one photo": (
        *TRAIN, "--config.data.tfds_dir={t}/built", photos("cat_1", "cat_2"),
        "class 'cat' has 1 eligible images and an episode needs 2 of one class",
    ),
    "damaged description": (
        *TRAIN, "--config.data.tfds_dir={t}/built", description,
        "metadata.json in {t}/built/mini/2.0.0 is damaged (ValueError): make it anew with python",
    ),
    "file in the data set's way": (
        *TRAIN, "--config.data.tfds_dir={t}/x", content("x", b""),
        "There is no data set mini in {t}/x: prepare it with python",
    ),
    "no folder of photos": (
        preparing, "--dataset=folders", "--manual_dir={t}/x", "--tfds_dir={o}", None,
        "There is no folder {t}/x: see --manual_dir.",
    ),
    "empty folder of photos": (
        preparing, "--dataset=folders", "--manual_dir={t}", "--tfds_dir={o}", None,
        "{t} has none of the known layouts: ",
    ),
    # Lists
    "list in UTF-16": (
        *VOC, "--lists={t}", content("a.txt", "cat_0\n".encode("utf-16")),
        "{t}/a.txt is no text in UTF-8: save it as such.",
    ),
    "list in Latin-1": (
        *VOC, "--lists={t}", content("a.txt", b"caf\xe9\n"),
        "{t}/a.txt is no text in UTF-8: save it as such.",
    ),
    "list with zeros": (
        *VOC, "--lists={t}", content("a.txt", b"cat_0\n\0\0"),
        "{t}/a.txt is no text in UTF-8: save it as such.",
    ),
    "list on one line": (
        *VOC, "--lists={t}", content("a.txt", b"cat_0 cat_1 dog_0"),
        "Line 1 of the list {t}/a.txt holds 'cat_0' and 'cat_1': write each photo on a line",
    ),
    "list of unknown photos": (
        *VOC, "--lists={t}", content("a.txt", b"cat_9\n"),
        "The list a names cat_9, of which there is no photo {w}/voc",
    ),
    "list that is a pipe": (
        *VOC, "--lists={t}", pipe("a.txt"), "{t}/a.txt is no ordinary file: put one there.",
    ),
    # Photos and masks
    "photo that is a pipe": (
        *PREDICT, piped("images/0.png"), "images/0.png is no ordinary file: name a picture's file.",
    ),
    "photo that is none": (
        *PREDICT, replaced("images/0.png", lambda folder: b"hello"),
        "images/0.png is damaged, or no picture: fetch it again",
    ),
    "photo cut short": (
        *PREDICT, replaced("images/0.png", lambda folder: (folder / "images/0.png").read_bytes()[:200]),
        "images/0.png is damaged, or no picture: fetch it again",
    ),
    "mask that is a pipe": (
        *PREDICT, piped("masks/0.png"), "masks/0.png is no ordinary file: name a picture's file.",
    ),
    "mask of another size": (
        *PREDICT, replaced("masks/0.png", lambda folder: encoded(np.full((9, 8), 255, np.uint8), "PNG")),
        "masks/0.png is 9x8 and its photo",
    ),
    "mask without an object": (
        *PREDICT, replaced("masks/0.png", lambda folder: encoded(np.zeros((36, 44), np.uint8), "PNG")),
        "masks/0.png marks no object: make the object white",
    ),
    "mask that is missing": (
        *PREDICT, shown(lambda folder: (folder / "masks/0.png").unlink()),
        "images/0.png has no mask {t}/shown/cup/masks/0.png: add it",
    ),
    # Manifests
    "no manifest": (
        *EVAL, "--episodes={t}/e.jsonl", None,
        "manifest '{t}/e.jsonl' cannot be read (No such file or directory); check the path.",
    ),
    "manifest that is a pipe": (
        *EVAL, "--episodes={t}/e.jsonl", pipe("e.jsonl"),
        "'{t}/e.jsonl' is a folder, a pipe or a device; name a file.",
    ),
    "manifest in UTF-16": (
        *EVAL, "--episodes={t}/e.jsonl", content("e.jsonl", "{}\n".encode("utf-16")),
        "'{t}/e.jsonl' line 1: not a header of episodes; write the file anew.",
    ),
    "manifest of another seed": (
        *EVAL, "--episodes={t}/e.jsonl", episodes(lambda header: header.update(seed=77)),
        "line 1: it is not the header that was written; write the file anew",
    ),
    "manifest of wrong types": (
        *EVAL, "--episodes={t}/e.jsonl", episodes(lambda header: header.update(classes=[1])),
        "'{t}/e.jsonl' line 1: not a header of episodes; write the file anew.",
    ),
    "query as a support": (
        *EVAL, "--episodes={t}/e.jsonl", episodes(lambda one: one.update(query=one["support"][0]), 1),
        "is a support as well; name another.",
    ),
    "query without the class": (
        *EVAL, "--episodes={t}/e.jsonl", episodes(lambda one: one.update(query=["cat_0"]), 1),
        "line 2: query image 'cat_0' shows no pixel of",
    ),
    # Weights
    "no weights": (
        *TRAIN, "--config.model.weights={t}/w.npz", None,
        "model.weights is {t}/w.npz, and nothing is there: name a .npz",
    ),
    "weights of another kind": (
        *TRAIN, "--config.model.weights={t}/w.onnx", content("w.onnx", b"PK"),
        "{t}/w.onnx: weights are read from .npz or .safetensors",
    ),
    "weights that are a pipe": (
        *TRAIN, "--config.model.weights={t}/w.npz", pipe("w.npz"), "{t}/w.npz: there is no such weights file",
    ),
    "weights cut short": (
        *TRAIN, "--config.model.weights={t}/w.npz", cut,
        "{t}/w.npz: the weights file is damaged (File is not a zip file); download it again.",
    ),
    "weights of another network": (
        *EVAL, "--config.model.weights={t}/w.npz", altered("conv1.weight", lambda x: x[:2]),
        "{t}/w.npz: conv1.weight has the shape (2, 3, 7, 7)",
    ),
    "weights of zeros": (
        *TRAIN, "--config.model.weights={t}/w.npz", altered("conv1.weight", np.zeros_like),
        "{t}/w.npz: conv1.weight is zero throughout; download",
    ),
    "weights that are no numbers": (
        *EVAL, "--config.model.weights={t}/w.npz", altered("bn1.bias", lambda x: x * np.nan),
        "{t}/w.npz: bn1.bias holds values that are not finite; download",
    ),
    "negative variances": (
        *TRAIN, "--config.model.weights={t}/w.npz", altered("bn1.running_var", np.negative),
        "{t}/w.npz: bn1.running_var holds negative variances; download",
    ),
    # Runs and results
    "no run": (
        evaluation, "--workdir={t}/run", "--out={o}", None, "There is no checkpoint in {t}/run: train first",
    ),
    "run that is a file": (
        evaluation, "--workdir={t}/run", "--out={o}", content("run", b""),
        "There is no checkpoint in {t}/run: train first",
    ),
    "run without its configuration": (
        evaluation, "--workdir={t}/run", "--out={o}", run(lambda step: shutil.rmtree(step / "config")),
        "Every checkpoint in {t}/run is damaged, 6 (its file config/metadata is missing): copy",
    ),
    "no export": (
        export, "--show", "{t}/m.safetensors", content("m.safetensors", b"PK"),
        "{t}/m.safetensors is no exported model",
    ),
    "no results": (analyze, "{t}", None, "There is no {t}/results.json; run eval.py with --out={t} first."),
    "results that were changed": (
        compare, "{t}/results", "--rows=a:a",
        results(lambda folder: (folder / "results.json").write_bytes(b"[" * 10**5)),
        "{t}/results/results.json is not JSON; evaluate again.",
    ),
    "episodes cut short": (
        analyze, "{t}/results", "--row=a", "--out={o}",
        results(lambda folder: (folder / "episodes.jsonl").write_bytes(b'{"row": "a"}\n')),
        "Line 1 of {t}/results/episodes.jsonl is not an episode; evaluate again.",
    ),
}  # fmt: skip
"""Of each kind the program, its arguments, what is made for it first, and what the sentence says."""
