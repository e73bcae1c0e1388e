"""The part of the table that says how an evaluation refines: adaptation, fusion, and FSSDINO's prototypes."""

from fsjax.config.fields import SEED, Field

REFINEMENT: dict[str, Field] = {
    "eval.adapt.steps": Field(5, "Gradient steps on an episode's supports.", low=0, high=1000, free="always"),
    "eval.adapt.learning_rate": Field(7e-4, "Of these steps.", above=0, high=100, free="always"),
    "eval.adapt.momentum": Field(0.9, "Of these steps.", low=0, below=1, free="always"),
    "eval.adapt.parameters": Field(
        "all",
        "What is tuned: the whole backbone, its last stage, or scales and biases of its normalisation.",
        choices=("all", "last_stage", "norm_affine"), free="always",
    ),
    "eval.adapt.leave_one_out": Field(
        False, "Segments each of several shots by the prototypes of the others.", free="always"
    ),
    "eval.fusion.omega_s": Field(
        0.5, "Weight of the support prototypes in the first stage (Eq. 9).", low=0, high=1, free="always"
    ),
    "eval.fusion.omega_q": Field(
        0.5, "Weight of the query prototypes in both stages (Eq. 9, Eq. 12).", low=0, high=1, free="always"
    ),
    "eval.fusion.omega_f": Field(
        0.5, "Weight of the first stage's prototypes in the second (Eq. 12).", low=0, high=1, free="always"
    ),
    "eval.fusion.second_mask": Field(
        "m3",
        "Whose argmax is the second stage's mask (Eq. 11): the fused map's, or the second map's.",
        choices=("m3", "m2"), free="always",
    ),
    "eval.fusion.threshold_over": Field(
        "map",
        "Cells that the maximum and the mean of Eq. 14 run over: the map, or those predicted as the class.",
        choices=("map", "predicted"), free="always",
    ),
    "eval.fusion.joint": Field(
        False, "Averages query prototypes over all queries of an episode (Eq. 7).", free="always"
    ),
    "eval.fusion.gram": Field(
        False, "Refines similarity maps by FSSDINO's Gram maps, without fusion, too.", free="always"
    ),
    "eval.fssdino.clusters": Field(5, "Prototypes of each class.", low=1, high=256, free="always"),
    "eval.fssdino.iterations": Field(
        100, "Of the k-means that makes them, at most.", low=0, high=10_000, free="always"
    ),
    "eval.fssdino.seed": Field(0, "Decides the cells that it begins with.", low=0, high=SEED, free="always"),
}  # fmt: skip
"""The fields by their dotted names."""
