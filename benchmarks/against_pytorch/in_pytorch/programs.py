"""PyTorch's side: the programs that are timed, in eager mode or compiled, in either layout."""

import copy
import os
import resource
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.against_pytorch.cases import Case
from benchmarks.against_pytorch.in_pytorch import weights
from benchmarks.against_pytorch.in_pytorch.cycle import compare
from benchmarks.against_pytorch.in_pytorch.dpnet import DPNet
from benchmarks.against_pytorch.in_pytorch.networks import ResNet
from benchmarks.against_pytorch.in_pytorch.prnet import PRNet, confusion
from benchmarks.against_pytorch.problem import Arrays, Problem

COMPILED, CHANNELS_LAST = "compile", "channels_last"


class Way(NamedTuple):
    """How PyTorch is used.

    Attributes:
      compiled: by torch.compile.
      layout: of features and kernels in memory.
      half: whether networks compute in bfloat16.
      device: cpu or cuda.
    """

    compiled: bool
    layout: torch.memory_format
    half: bool
    device: str

    @classmethod
    def of(cls, variant: str, dtype: str) -> "Way":
        """Returns the way of a variant's name, as "compile, channels_last"."""
        layout = torch.channels_last if CHANNELS_LAST in variant else torch.contiguous_format
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return cls(COMPILED in variant, layout, dtype == "bfloat16", device)

    def placed(self, module: nn.Module) -> nn.Module:
        """Puts a module with a backbone onto the device, in the layout."""
        module.backbone.memory_format = self.layout
        return module.to(self.device, memory_format=self.layout)

    def made(self, function: Any) -> Any:
        """Compiles a module or function, if that is the way."""
        return torch.compile(function) if self.compiled else function

    def wait(self) -> None:
        """Waits for the device."""
        if self.device == "cuda":
            torch.cuda.synchronize()


def about() -> dict[str, Any]:
    """Returns the versions, the device and the threads, and uses all cores."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.backends.cudnn.benchmark = True
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    threads = torch.get_num_threads()
    return {"pytorch": torch.__version__, "pytorch_device": device, "pytorch_threads": threads}


def peak() -> dict[str, float]:
    """Returns the process's peak memory and, on a GPU, what PyTorch held of it, in bytes."""
    found = {"host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    return found | ({"device": torch.cuda.max_memory_allocated()} if torch.cuda.is_available() else {})


def make(case: Case, variant: str, dtype: str, folder: Path) -> Any:
    """Returns the program of a case whose problem lies in a folder."""
    problem, way = Problem.read(folder), Way.of(variant, dtype)
    if case.kind == "cycle":
        return Cycle(problem, way)
    if case.kind == "vit":
        from benchmarks.against_pytorch.in_pytorch.vit import Dinov2  # transformers takes seconds

        return Forward(problem, way, way.placed(Dinov2(folder, way.half)))
    return {"step": Step, "forward": Forward, "episode": Evaluated}[case.kind](
        problem, way, _method(problem, way)
    )


def _method(problem: Problem, way: Way) -> Any:
    facts = problem.facts
    backbone = ResNet(**facts["network"])
    if facts["method"] == "dpnet":
        method: nn.Module = DPNet(backbone, facts["channels"], facts["dpnet"], way.half)
    else:
        method = PRNet(backbone, facts["scale"], way.half)
        backbone.train(facts["batch_statistics"])
    weights.load(method, problem.variables)
    return way.placed(method)


def _tensors(arrays: Arrays, device: str) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}


def _optimizer(parameters: list[Tensor], settings: dict[str, Any]) -> torch.optim.Optimizer:
    rate, decay = settings["learning_rate"], settings["weight_decay"]
    if settings["optimizer"] == "adamw":
        return torch.optim.AdamW(parameters, rate, (0.9, settings["b2"]), weight_decay=decay, fused=True)
    return torch.optim.SGD(parameters, rate, settings["momentum"], weight_decay=decay, fused=True)


class Step:
    """A training step: loss, gradients, their norm, and the optimiser."""

    def __init__(self, problem: Problem, way: Way, method: Any):
        self._way, self._problem, self._method = way, problem, method
        arrays = _tensors(problem.arrays, way.device)
        names = ("support_images", "support_masks", "query_images", "query_masks")
        whole = problem.facts["method"] == "dpnet"  # PRNet's batch is one episode
        self._arguments = [arrays[name] if whole else arrays[name][0] for name in names]
        self._learned = [one for one in self._method.parameters() if one.requires_grad]
        self._optimizer = _optimizer(self._learned, problem.facts["optimizer"])
        self._loss = way.made(self._method)
        self._metrics: list[tuple[float, float]] = []

    def call(self) -> None:
        rates = self._problem.facts["rates"]
        for group in self._optimizer.param_groups:
            group["lr"] = rates[min(len(self._metrics), len(rates) - 1)]
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._loss(*self._arguments)
        loss.backward()
        norm = nn.utils.get_total_norm([one.grad for one in self._learned])
        self._optimizer.step()
        self._way.wait()
        self._metrics.append((loss.item(), norm.item()))

    def values(self) -> Arrays:
        losses, norms = (np.array(found) for found in zip(*self._metrics, strict=True))
        learned = {name: one for name, one in self._method.named_parameters() if one.requires_grad}
        changed = weights.changes(learned, self._problem.variables)
        return {"loss": losses, "gradient_norm": norms, **changed}


class Forward:
    """The features of photos."""

    def __init__(self, problem: Problem, way: Way, method: Any):
        self._way, self._method = way, method
        self._photos = _tensors(problem.arrays, way.device)["photos"]
        self._embed = way.made(self._method.embed)

    def call(self) -> None:
        with torch.inference_mode():
            self._features = self._embed(self._photos)
        self._way.wait()

    def values(self) -> Arrays:
        return {"features": self._features.permute(0, 2, 3, 1).float().cpu().numpy()}


class Evaluated:
    """An episode, adapted to or not, segmented without fusion and after both stages, and counted."""

    def __init__(self, problem: Problem, way: Way, method: Any):
        self._way, self._problem, self._method = way, problem, method
        arrays = _tensors(problem.arrays, way.device)
        self._supports, self._masks = arrays["support_images"][0], arrays["support_masks"][0]
        self._queries, self._truth = arrays["query_images"][0], arrays["query_masks"][0]
        self._adapt = problem.facts["adapt"]
        self._initial = copy.deepcopy(self._method.state_dict())
        self._segment = way.made(self._segmented)
        self._whole, self._late = way.made(self._loss_of_all), way.made(self._loss_of_last)
        stage = self._method.backbone.get_submodule(f"layer{self._method.backbone.stages}")
        last = bool(self._adapt) and self._adapt["parameters"] == "last_stage"
        self._tuned = list((stage if last else self._method).parameters())
        self._method.requires_grad_(False)

    def call(self) -> None:
        if self._adapt:
            self._method.load_state_dict(self._initial)
            self._tune()
        with torch.no_grad():
            self._matrices = [confusion(logits, self._truth) for logits in self._segment()]
        self._way.wait()

    def values(self) -> Arrays:
        names = ("fusion0", "fusion1", "fusion2")
        found = {
            f"confusion/{name}": matrix.cpu().numpy()
            for name, matrix in zip(names, self._matrices, strict=True)
        }
        if not self._adapt:
            return found
        return found | weights.changes(dict(self._method.named_parameters()), self._problem.variables)

    def _tune(self) -> None:
        """Tunes the whole network, or its last stage, to the supports; earlier stages then run once."""
        for one in self._tuned:
            one.requires_grad_(True)
        rate, momentum = self._adapt["learning_rate"], self._adapt["momentum"]
        optimizer = torch.optim.SGD(self._tuned, rate, momentum, fused=True)
        late = self._adapt["parameters"] == "last_stage"
        photos = self._supports.flatten(0, 1)
        if late:
            with torch.no_grad(), torch.autocast(photos.device.type, torch.bfloat16, enabled=self._way.half):
                photos = self._method.backbone.early(photos)
        for _ in range(self._adapt["steps"]):
            optimizer.zero_grad(set_to_none=True)
            (self._late if late else self._whole)(photos).backward()
            optimizer.step()
        self._method.requires_grad_(False)
        optimizer.zero_grad(set_to_none=True)

    def _loss_of_all(self, photos: Tensor) -> Tensor:
        return self._method.adaptation_loss(self._method.embed(photos), self._masks)

    def _loss_of_last(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, torch.bfloat16, enabled=self._way.half):
            features = self._method.backbone.last(features).float()
        return self._method.adaptation_loss(features, self._masks)

    def _segmented(self) -> list[Tensor]:
        supports, queries = (self._method.embed(x) for x in (self._supports.flatten(0, 1), self._queries))
        fusion, side = self._problem.facts["fusion"], self._truth.shape[-2:]
        return self._method.segment(supports, self._masks, queries, side, fusion)


class Cycle:
    """The cycle comparison of two maps, from the whole matrix of cosines."""

    def __init__(self, problem: Problem, way: Way):
        self._way = way
        arrays = _tensors(problem.arrays, way.device)
        self._arguments = [arrays[name] for name in ("support", "query", "foreground")]
        self._compare = way.made(compare)

    def call(self) -> None:
        with torch.inference_mode():
            self._found = self._compare(*self._arguments)
        self._way.wait()

    def values(self) -> Arrays:
        return {name: found.cpu().numpy() for name, found in self._found.items()}
