"""The one table of a configuration's fields: default, one line of help, what is allowed, what it decides."""

from fsjax.config.fields import SEED, Field
from fsjax.config.refinement import REFINEMENT

SECTIONS_LEFT_FREE = ("model.backbone_options",)
"""Sections whose fields are told elsewhere, because they differ from one network to the next."""

AREA_RULES = ("none", "oslsm", "pfenet")
"""The names that `data.min_area` and `eval.min_area` may have, beside a number."""

SIDE = 4096  # pixels
BATCH = 65_536
COUNT = 1_000_000_000
THREADS = 256

_CLASS = Field("", "The name of a class.", least=1)

TABLE: dict[str, Field] = {
    # The run
    "seed": Field(0, "Of the initial weights and the training episodes.", low=0, high=SEED),
    "fold": Field(
        0, "Whose classes are novel: never trained on; counted from 0.", low=0, high=999, free="evaluation"
    ),
    "batch_size": Field(1, "Episodes in a step, on any number of devices.", low=1, high=BATCH),
    "lr_scaling": Field(
        "none",
        "linear: another batch size than the reference scales the rate, and schedules count episodes.",
        choices=("none", "linear"),
    ),
    "compilation_cache": Field(
        "~/.cache/fsjax/compiled",
        "Folder where compiled programs are kept for the next start; empty: none are.",
        free="always",
    ),
    # Data
    "data.name": Field(
        "shapes",
        "The data set: shapes, or the name under which datasets.prepare built it.",
        least=1, free="evaluation",
    ),
    "data.tfds_dir": Field("data", "Folder where built data sets are kept.", least=1, free="always"),
    "data.train_list": Field("", "List of training images; empty: the usual one.", free="evaluation"),
    "data.test_list": Field("", "List of test images; empty: the usual one.", free="evaluation"),
    "data.split": Field(
        "",
        "Table of folds: standard, coco20i's contiguous or interleaved, or drawn; empty: the usual one.",
        choices=("", "standard", "contiguous", "interleaved", "drawn"), free="evaluation",
    ),
    "data.folds": Field(
        (),
        "The class names that each fold holds out, in place of data.split.",
        each=Field((), "One fold.", each=_CLASS, least=1), free="evaluation",
    ),
    "data.fold_count": Field(
        4, "drawn: folds that the classes are dealt to.", low=2, high=999, free="evaluation"
    ),
    "data.fold_seed": Field(0, "drawn: which class is in which fold.", low=0, high=SEED, free="evaluation"),
    "data.leave_out": Field(
        (), "Classes, by name, that no episode is drawn of.", each=_CLASS, repeats=False, free="evaluation"
    ),
    "data.drop_novel_images": Field(False, "Leave training images that hold a novel class out."),
    "data.min_area": Field(
        "none",
        "Pixels from which on an object makes its image eligible: none, pfenet (2048), oslsm, or a number.",
        least=1, free="evaluation",
    ),
    "data.feature_dir": Field(
        "features", "Folder where features of frozen backbones are cached.", least=1, free="always"
    ),
    "data.threads": Field(2, "That load photos.", low=1, high=THREADS, free="always"),
    "data.workers": Field(
        0, "Of training: processes that load episodes, each with data.threads threads; 0: none.",
        low=0, high=THREADS, free="always",
    ),
    # The method
    "model.name": Field("prnet", "The method; fssdino never trains.", choices=("prnet", "dpnet", "fssdino")),
    "model.backbone": Field(
        "resnet101",
        "The network that turns photos into features; small is for training from scratch.",
        least=1,
    ),
    "model.weights": Field(
        "",
        "Backbone weights: imagenet; dinov2-small|base|large|giant, with or without -registers (Apache-2.0); "
        "dinov3-small|small-plus|base|large|huge-plus (DINOv3 License); a hub's repository, a file, a run's "
        "folder, or random; prnet: or none.",
        free="resume",
    ),
    "model.scale": Field(20.0, "prnet: of the cosines; fssdino: of the scores.", above=0, high=10_000),
    "model.support_loss": Field(
        "nway",
        "prnet, training: query prototypes segment the supports among all classes (Eq. 4), or, as PANet's, "
        "each way against background.",
        choices=("nway", "panet"),
    ),
    "model.compute_dtype": Field(
        "float32",
        "What convolutions compute in, all else being float32; float16 is for evaluation alone.",
        choices=("float32", "bfloat16", "float16"),
    ),
    "model.remat": Field(
        "none",
        "What of the backbone is computed again for gradients, for less memory: nothing, stages, or blocks.",
        choices=("none", "stages", "blocks"), free="always",
    ),
    "model.dpnet.width": Field(256, "Channels of the merged features.", low=1, high=4096),
    "model.dpnet.dis_hidden": Field(512, "Hidden width of the discriminator.", low=1, high=65_536),
    "model.dpnet.pim_hidden": Field(128, "Hidden width of the prototype interaction.", low=1, high=65_536),
    "model.dpnet.alpha_init": Field(
        0.0, "First value of the interaction's scale; 0 begins as the identity.", low=-10, high=10
    ),
    "model.dpnet.rates": Field(
        (6, 12, 18), "Dilations of the decoders.", each=Field(1, "One branch's.", low=1, high=256), least=1
    ),
    "model.dpnet.auxiliary": Field(True, "Whether there is an auxiliary branch."),
    "model.dpnet.tile": Field(256, "Rows of the matrix of cosines held at a time.", low=1, high=1_000_000),
    "model.dpnet.pim": Field(True, "Table 3: the prototype interaction module; off: the identity."),
    "model.dpnet.msf": Field(True, "Table 3: multi-scale features; off: the one scale."),
    "model.dpnet.ccm": Field(True, "Table 3: the cycle comparison module; off: P_q is P."),
    "model.dpnet.pseudo_prototype": Field(
        "ccm",
        "Table 4: by cycle comparison, by forward matches only, or the query's mean.",
        choices=("ccm", "cosine", "global"),
    ),
    "model.dpnet.aux_only": Field(False, "Trains the auxiliary branch alone."),
    "model.dpnet.dis_loss_set": Field(
        "candidates",
        "Cells that L_dis judges: all candidates, or those selected (Eq. 10).",
        choices=("candidates", "selected"),
    ),
    "model.dpnet.lambda1": Field(1.0, "Table 5: weight of the auxiliary branch's loss.", low=0, high=1000),
    "model.dpnet.lambda2": Field(1.0, "Table 5: weight of the discriminator's loss.", low=0, high=1000),
    "model.dpnet.beta": Field(0.5, "Threshold of the discriminator in training.", low=0, high=1),
    "model.dpnet.dropout": Field(0.5, "Share of whole channels dropped in training.", low=0, below=1),
    # Training
    "train.ways": Field(1, "Classes of a training episode.", low=1, high=1000),
    "train.shots": Field(1, "Supports of each class.", low=1, high=1000),
    "train.queries": Field(1, "Queries of an episode.", low=1, high=1000),
    "train.size": Field(417, "Side of the square that images are resized to, in pixels.", low=8, high=SIDE),
    "train.policy": Field(
        "class_uniform",
        "How episodes are drawn; pair_epoch walks through all pairs of image and class, list_walk in order.",
        choices=("class_uniform", "pair_epoch", "list_walk"),
    ),
    "train.flip": Field(True, "Mirrors half of the images, each by itself."),
    "train.crop": Field(
        1.0, "Photos are enlarged up to so many times and cut back at random; 1: never.", low=1, high=4
    ),
    "train.rotate": Field(
        0.0, "Half of the photos are rotated by up to so many degrees; 0: none.", low=0, high=45
    ),
    "train.cached_features": Field(
        False, "A frozen backbone runs once an image, which is neither cropped nor rotated."
    ),
    "train.void": Field(
        "ignore", "What becomes of void pixels of training masks.", choices=("ignore", "background")
    ),
    "train.support_void": Field(
        "", "Void pixels of supports; empty: as train.void.", choices=("", "ignore", "background")
    ),
    "train.other_classes": Field(
        "background",
        "What pixels of novel classes are in training masks; ignore makes them 255 (as RePRI).",
        choices=("background", "ignore"),
    ),
    "train.steps": Field(
        30_000, "Of the training; 0: none, the configuration is for eval.py alone.", low=0, high=COUNT
    ),
    "train.epochs": Field(
        0, "Walks of pair_epoch; where it is not 0, steps follow from it.", low=0, high=1_000_000
    ),
    "train.reference_batch_size": Field(
        1, "The batch size that steps, milestones and learning_rate are meant for.", low=1, high=BATCH
    ),
    "train.accumulate": Field(
        1,
        "A device's episodes are computed in so many parts, for less memory; batch statistics are a part's.",
        low=1, high=BATCH, free="resume",
    ),
    "train.optimizer": Field("sgd", "The optimiser.", choices=("sgd", "adamw")),
    "train.learning_rate": Field(7e-3, "Of the optimiser, at its highest.", above=0, high=100),
    "train.momentum": Field(0.9, "Of sgd.", low=0, below=1),
    "train.b2": Field(0.999, "Of adamw: how long squared gradients are remembered.", low=0, below=1),
    "train.weight_decay": Field(5e-4, "Of the optimiser.", low=0, high=10),
    "train.schedule": Field(
        "step",
        "Of the learning rate: drops at milestones, falls along a cosine, or stays.",
        choices=("step", "cosine", "constant"),
    ),
    "train.milestones": Field(
        (10_000, 20_000), "step: the rate is multiplied by decay at each of these steps.",
        each=Field(1, "A step.", low=1, high=COUNT),
    ),
    "train.decay": Field(0.1, "step: the factor at each milestone.", above=0, high=1),
    "train.warmup": Field(0, "cosine: steps of linear warm-up.", low=0, high=COUNT),
    "train.log_every": Field(20, "Steps between two lines of the log.", low=1, high=COUNT, free="resume"),
    "train.checkpoint_every": Field(
        1_000, "Steps between two checkpoints.", low=1, high=COUNT, free="resume"
    ),
    "train.checkpoint_minutes": Field(
        10.0, "Minutes after which there is a checkpoint anyway, at a line of the log; 0: never.",
        low=0, high=COUNT, free="resume",
    ),
    "train.keep_last": Field(
        2, "Latest checkpoints that stay; one more takes the place of the oldest.", low=1, high=COUNT,
        free="resume",
    ),
    "train.keep": Field(
        (), "Steps whose checkpoints stay, for eval.py --step.",
        each=Field(1, "A step.", low=1, high=COUNT), repeats=False, free="always",
    ),
    "train.select": Field(
        "none",
        "Which checkpoint counts: the last; the best on base classes, in held-out photos; on novel classes.",
        choices=("none", "base_val", "novel_fold"),
    ),
    "train.select_every": Field(
        1_000, "Steps between two selections; the last step has one, too.", low=1, high=COUNT
    ),
    "train.select_episodes": Field(500, "Of a selection, each time the same.", low=1, high=1_000_000),
    # Evaluation
    "eval.protocol": Field(
        "",
        "The field's protocol that other fields follow; those given beside it depart from it.",
        choices=("", "panet", "canet", "pfenet", "hsnet", "dpnet", "fssdino"), free="always",
    ),
    "eval.ways": Field(1, "Classes of an episode.", low=1, high=1000, free="always"),
    "eval.shots": Field(1, "Supports of each class.", low=1, high=1000, free="always"),
    "eval.queries": Field(1, "Queries of an episode.", low=1, high=1000, free="always"),
    "eval.runs": Field(5, "Repetitions with other episodes.", low=1, high=1000, free="always"),
    "eval.episodes": Field(1_000, "Of each run.", low=1, high=1_000_000, free="always"),
    "eval.adapt_episodes": Field(
        1_000, "Of each run, the first so many are adapted to.", low=1, high=1_000_000, free="always"
    ),
    "eval.adapt_curve": Field(
        False, "Scores all outputs before the adaptation and after each of its steps.", free="always"
    ),
    "eval.policy": Field(
        "class_uniform",
        "How episodes are drawn; list_walk takes the (image, class) pairs in the list's order, image_walk "
        "its images.",
        choices=("class_uniform", "list_walk", "image_walk"), free="always",
    ),
    "eval.min_area": Field("", "The evaluation's own data.min_area; empty: as that.", free="always"),
    "eval.seed": Field(1234, "Of the evaluation's episodes.", low=0, high=SEED, free="always"),
    "eval.rows": Field(
        ("fusion0", "fusion1", "fusion2"),
        "Of the table: the method's outputs (dpnet: aux, master; fssdino: prototypes, fssdino), adapted, "
        "controls, baselines, fssdino, oracle.",
        each=Field("", "A row.", least=1), least=1, repeats=False, free="always",
    ),
    "eval.variants": Field(
        (),
        "Other settings of the segmentation that are rows beside, as threshold_over=predicted or beta=0.3.",
        each=Field("", "field=value of eval.fusion, eval.fssdino, or beta; several with + between.", least=1),
        repeats=False, free="always",
    ),
    "eval.size": Field(
        417, "Side of the square, or longer side, that images are resized to, in pixels.", low=8, high=SIDE,
        free="always",
    ),
    "eval.input": Field(
        "square", "Shape of the input; longside keeps the aspect ratio.", choices=("square", "longside"),
        free="always",
    ),
    "eval.label": Field(
        "input", "Score at the input's size or at the photo's original size.", choices=("input", "original"),
        free="always",
    ),
    "eval.void": Field(
        "ignore", "How void pixels are scored.", choices=("ignore", "background"), free="always"
    ),
    "eval.support_void": Field(
        "ignore", "Void pixels of supports.", choices=("ignore", "background"), free="always"
    ),
    "eval.counting": Field(
        "strict",
        "Of several ways; with panet_compat false positives of absent classes vanish.",
        choices=("strict", "panet_compat"), free="always",
    ),
    "eval.beta": Field(0.2, "dpnet: threshold of the discriminator.", low=0, high=1, free="always"),
    "eval.scales": Field(
        (1.0,), "Queries are segmented at these factors of their size; 1.0 is one of them.",
        each=Field(1.0, "A factor.", low=0.1, high=4), least=1, repeats=False, free="always",
    ),
    "eval.scale_average": Field(
        "probability", "What is averaged over scales.", choices=("probability", "logit"), free="always"
    ),
    "eval.batch_size": Field(4, "Episodes at a time on each device.", low=1, high=BATCH, free="always"),
    "eval.memory": Field(
        4.0, "GB of features and descriptions kept in memory; past it they go to disk.", low=0, high=100_000,
        free="always",
    ),
    "eval.allow_trained_classes": Field(
        False, "Also evaluate on classes that were trained on; every table then says so.", free="always"
    ),
    "eval.pictures": Field(
        6, "Episodes on the picture sheets; 0 draws none.", low=0, high=100, free="always"
    ),
    "eval.pictures_of": Field(
        "first",
        "Which are on them: the first episodes, or, by the IoU of the method's final row, the best, those "
        "around the median, the worst, or a third of each (spread).",
        choices=("first", "spread", "best", "median", "worst"), free="always",
    ),
    **REFINEMENT,
}  # fmt: skip
"""The fields by their dotted names."""
