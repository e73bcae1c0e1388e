"""The fields of every configuration, with the defaults that the methods share.

A file of this folder is named by `--config=configs/NAME.py:fold=0,shots=5`; single fields are set by
`--config.FIELD=VALUE`. ../README.md explains the fields that people change most.
"""

from collections.abc import Sequence

from ml_collections import ConfigDict


def parse(argument: str | None) -> dict[str, int]:
    """Reads the part behind the colon, e.g. "fold=0,shots=5": whole numbers for fold, ways, shots, seed."""
    given = {}
    for part in filter(None, (argument or "").split(",")):
        name, _, value = part.partition("=")
        if name not in ("fold", "ways", "shots", "seed") or not value.isdecimal():
            raise ValueError(
                f"{part!r} behind the configuration's colon: write fold=, ways=, shots= or seed= and a number"
            )
        given[name] = int(value)
    return given


def apply(config: ConfigDict, argument: str | None, parts: Sequence[str] = ("train", "eval")) -> ConfigDict:
    """Sets what the argument gives; ways and shots are set in the named parts of the configuration."""
    for name, value in parse(argument).items():
        for part in (config,) if name in ("fold", "seed") else (config[part] for part in parts):
            part[name] = value
    return config


def get_config() -> ConfigDict:
    """Returns the shared defaults; they describe no run by themselves."""
    config = ConfigDict()
    config.seed = 0  # of the initial weights and the training episodes
    config.fold = 0  # whose classes are novel: never trained on
    config.batch_size = 1  # episodes in a step, on any number of devices
    config.lr_scaling = "none"  # "linear": another batch size scales the rate, and schedules count episodes

    data = config.data = ConfigDict()
    data.name = "shapes"  # "shapes" or "pascal5i"
    data.tfds_dir = "data"  # where built data sets are kept
    data.version = ""  # filled in by a run, which goes on with no other
    data.dir = ""  # pascal5i: the VOC-style folder
    data.train_list = ""  # pascal5i: the lists of image ids, by name or path
    data.test_list = ""
    data.folds = ()  # pascal5i: the class names that each fold holds out; () is the standard four folds
    data.drop_novel_images = False  # leave training images that hold a novel class out
    data.min_area = 1  # an object of fewer pixels makes no image eligible for its class
    data.feature_dir = "features"  # where features of frozen extractors are cached
    data.threads = 2  # that load episodes
    data.workers = 0  # processes that load episodes, instead of threads

    model = config.model = ConfigDict()
    model.name = "prnet"  # or "dpnet"
    model.backbone = "resnet101"  # or "resnet50", or "small" (from scratch)
    model.backbone_options = ConfigDict(
        {"stages": 4, "convention": "torchvision", "first_block_dilation": "previous"}
    )
    model.weights = ""  # a file with torchvision's key names, a run's folder, or "random"; prnet: or none
    model.batch_statistics = False  # True when training from scratch
    model.scale = 20.0  # prnet: of the cosines
    model.compute_dtype = "float32"  # of the convolutions
    model.backbone_sha256 = ""  # filled in by a run whose extractor is frozen

    dpnet = model.dpnet = ConfigDict()
    dpnet.width = 256  # channels of the merged features
    dpnet.dis_hidden, dpnet.pim_hidden = 512, 128  # hidden widths of discriminator and prototype interaction
    dpnet.alpha_init = 0.0  # first value of the interaction's scale; 0 begins as the identity
    dpnet.rates = (6, 12, 18)  # dilations of the decoders
    dpnet.auxiliary = True  # whether there is an auxiliary branch
    dpnet.tile = 256  # rows of the matrix of cosines held at a time
    dpnet.pim, dpnet.msf, dpnet.ccm = True, True, True  # Table 3; without ccm, P_q is P
    dpnet.pseudo_prototype = "ccm"  # Table 4: or "cosine" (forward matches only), "global" (the query's mean)
    dpnet.aux_only = False  # trains the auxiliary branch alone
    dpnet.dis_loss_set = "candidates"  # cells that L_dis judges: all candidates, or the "selected" (Eq. 10)
    dpnet.lambda1, dpnet.lambda2 = 1.0, 1.0  # Table 5: weights of the auxiliary's and discriminator's losses
    dpnet.beta = 0.5  # threshold of the discriminator in training
    dpnet.dropout = 0.5  # of whole channels

    train = config.train = ConfigDict()
    train.ways, train.shots, train.queries = 1, 1, 1
    train.size = 417  # images are resized to this square, in pixels
    train.policy = "class_uniform"  # or "pair_epoch": walks through all (image, class) pairs
    train.flip = True  # horizontally, each image by itself
    train.crop = 1.0  # photos are enlarged up to so many times and cut back at random; 1: never
    train.rotate = 0.0  # half of the photos are rotated up to so many degrees; 0: none
    train.cached_features = False  # of a frozen extractor: it runs once an image, without crops and rotations
    train.void = "ignore"  # void pixels of training masks: "ignore" them or call them "background"
    train.steps = 30_000
    train.epochs = 0  # of "pair_epoch": where it is not 0, steps follow from it
    train.reference_batch_size = 1  # the batch size that steps, milestones and learning_rate are meant for
    train.optimizer = "sgd"  # or "adamw"
    train.learning_rate = 7e-3
    train.momentum = 0.9  # of "sgd"
    train.b2 = 0.999  # of "adamw": how long squared gradients are remembered
    train.weight_decay = 5e-4
    train.schedule = "step"  # or "cosine", "constant"
    train.milestones = (10_000, 20_000)  # "step": the rate is multiplied by decay at each
    train.decay = 0.1
    train.warmup = 0  # "cosine": steps of linear warm-up
    train.log_every = 20  # steps
    train.checkpoint_every = 1_000  # steps

    evaluation = config.eval = ConfigDict()
    evaluation.ways, evaluation.shots, evaluation.queries = 1, 1, 1
    evaluation.runs, evaluation.episodes = 5, 1_000  # episodes in each run
    evaluation.adapt_episodes = 1_000  # of each run, the first so many are adapted to
    evaluation.seed = 1234  # of the evaluation's episodes
    evaluation.rows = ("fusion0", "fusion1", "fusion2")  # dpnet: "aux", "master"
    evaluation.size = 417
    evaluation.input = "square"  # or "longside": keeps the aspect ratio
    evaluation.label = "input"  # score at the "input" size or at the photo's "original" size
    evaluation.void = "ignore"  # or "background"
    evaluation.counting = "strict"  # or "panet_compat": false positives of absent classes vanish
    evaluation.beta = 0.2  # dpnet: threshold of the discriminator
    evaluation.scales = (1.0,)  # queries are segmented at these factors of their size
    evaluation.scale_average = "probability"  # or "logit": what is averaged over scales
    evaluation.cached_features = False  # of a frozen extractor: it runs once an image
    evaluation.batch_size = 4  # episodes at a time on each device
    evaluation.pictures = 6  # episodes on the picture sheet; 0 draws none
    evaluation.adapt = ConfigDict(
        {"steps": 5, "learning_rate": 7e-4, "momentum": 0.9, "parameters": "all", "leave_one_out": False}
    )
    evaluation.fusion = ConfigDict(
        {"omega_s": 0.5, "omega_q": 0.5, "omega_f": 0.5, "second_mask": "m3", "joint": False}
    )
    return config
