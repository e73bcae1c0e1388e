"""What a sweep leaves: the papers' tables and figures from its results, and a list of its trainings."""

from collections.abc import Sequence
from pathlib import Path

from fsjax.experiment.sentences import number_of
from fsjax.files import replacing
from fsjax.reproduction import foundation
from fsjax.reproduction.curves import draw_panels
from fsjax.reproduction.findings import Findings, losses, means
from fsjax.reproduction.jobs import Evaluation, Job, Training, command, in_order
from fsjax.reproduction.layout import Reproduction
from fsjax.reproduction.plans import Plan
from fsjax.reproduction.published import published, published_figures
from fsjax.reproduction.scales import Scale
from fsjax.reproduction.sheets import write_sheets
from fsjax.reproduction.tables import latex, markdown
from fsjax.training.curves import read_metrics

FOLDER = "tables"


def write(plans: Sequence[Plan], scale: Scale, workdir: Path) -> None:
    """Writes every table as Markdown and LaTeX, every figure with its data as CSV, and trainings.md.

    Curves are a PNG and an SVG, sheets of photos a PNG.

    Args:
      plans: of the tables and figures.
      scale: at which they are made.
      workdir: of the sweep; everything goes into its folder `tables`.
    """
    findings = Findings(workdir, scale.fold_count)
    for plan in plans:
        stem = workdir / FOLDER / plan.name.replace("/", "_")
        header = _header(plan, scale, findings)
        if plan.name in (*published(), foundation.NAME):
            _write_table(stem, plan, scale, findings, header)
        elif plan.name in published_figures():
            _write_curves(stem, plan, scale, findings, header)
        else:
            write_sheets(stem, plan, header, workdir)
    _write_trainings(plans, workdir)


def _header(plan: Plan, scale: Scale, findings: Findings) -> list[str]:
    """Returns what stands above a table or figure: what it cannot say, and what it costs."""
    trainings = [job for job in in_order(plan.jobs) if isinstance(job, Training)]
    evaluations = len(in_order(plan.jobs)) - len(trainings)
    cost = (
        f"{number_of(len(trainings), 'different training')}, {number_of(evaluations, 'further evaluation')}."
    )
    folds = sorted({job.fold for job in in_order(plan.jobs) if not isinstance(job, Evaluation)})
    only = f"Of the {scale.fold_count} folds only {', '.join(map(str, folds))}."
    few = [only] if len(folds) < scale.fold_count else []
    scores = [cell for cell in plan.cells.values() if not cell.parameters]
    same = len(set(scores)) < len(scores)
    one = ["One data set stands for all of the paper's: such cells are the same evaluations."] if same else []
    return [*scale.header(plan.name), *few, *one, *findings.mixtures(in_order(plan.jobs)), cost]


def _write_table(stem: Path, plan: Plan, scale: Scale, findings: Findings, header: Sequence[str]) -> None:
    table = foundation.table(scale) if plan.name == foundation.NAME else published()[plan.name]
    found = findings.table(plan, table)
    cells = {place: [cell] for place, cell in plan.cells.items()} | means(plan, table)
    reproduction = Reproduction(
        found=found,
        comparable=scale.comparable,
        header=header,
        commands={
            place: _commands(cell.jobs, stem.parents[1])
            for place, cell in plan.cells.items()
            if place in found or place not in plan.left
        },
        marks={place: findings.marks(*cells[place]) for place in found},
    )
    for ending, text in ((".tex", latex(table, reproduction)), (".md", markdown(table, reproduction))):
        with replacing(stem.with_suffix(ending)) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _commands(jobs: Sequence[Job], workdir: Path) -> str:
    return "\n".join(dict.fromkeys(command(job, workdir) for job in in_order(jobs)))


def _write_curves(stem: Path, plan: Plan, scale: Scale, findings: Findings, header: Sequence[str]) -> None:
    figure, panels = published_figures()[plan.name], findings.panels(plan, scale.folds)
    marks = findings.marks(*plan.cells.values())
    draw_panels(stem, figure.title, figure.x_label, "mean-IoU in percent", panels, header=[*header, *marks])


def _write_trainings(plans: Sequence[Plan], workdir: Path) -> None:
    """Writes which trainings there are, how their losses fell, and which tables each is for."""
    used: dict[Job, list[str]] = {}
    for plan in plans:
        for job in in_order(plan.jobs):
            used.setdefault(job, []).append(plan.name)
    trainings = [job for job in in_order(used) if isinstance(job, Training)]
    further = [job for job in in_order(used) if not isinstance(job, Training)]
    lines = [
        "# Trainings",
        "",
        f"{number_of(len(trainings), 'different training')}. Losses are means over the first and the last "
        "tenth of the steps.",
        "",
        "| training | steps | first loss | last loss | | used by |",
        "|---|---:|---:|---:|---|---|",
        *(f"| {' | '.join([job.name, *_told(job, workdir), ', '.join(used[job])])} |" for job in trainings),
        "",
        *(f"- {job.name}: `{command(job, workdir)}`" for job in trainings),
        "",
        "# Further evaluations",
        "",
        *(f"- {job.name}, for {', '.join(used[job])}: `{command(job, workdir)}`" for job in further),
    ]
    path = workdir / FOLDER / "trainings.md"
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _told(job: Training, workdir: Path) -> list[str]:
    metrics = read_metrics(job.folder(workdir))
    found = losses(metrics)
    if found is None:
        return ["0", "-", "-", "not run"]
    first, last = found
    verdict = "fell" if last < first else "DID NOT FALL"
    return [f"{metrics[-1]['step']:,}", f"{first:.3f}", f"{last:.3f}", verdict]
