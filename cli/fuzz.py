"""`armour fuzz MODEL`: search for failures."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from armour.cli import fuzz_compare, fuzz_text
from armour.cli.corpus_lock import counting, lock_option
from armour.cli.corpus_model import noted
from armour.cli.fuzz_screen import screen
from armour.cli.input_options import stated_aids, stated_words, stating_options
from armour.cli.model_options import load_model, model_options, words
from armour.cli.options import (
    coverage_option,
    data_option,
    device_option,
    json_option,
    mutators_option,
    print_json,
    quiet_option,
    samples_option,
    seed_option,
)
from armour.cli.oracle_options import NAMES, Judging, judged_by, oracle_options
from armour.cli.progress import progress
from armour.cli.remote import FLAGS, MODEL, remote_options, repeated
from armour.cli.samples import choose
from armour.cli.stop_options import stop_options
from armour.contract import Model
from armour.environment import cores
from armour.errors import ArmourError, GateFailed, InvalidArgument
from armour.files import writable_folder
from armour.fuzz import FuzzConfig, Fuzzer, FuzzResult
from armour.fuzz.config import MOST_ISLANDS
from armour.fuzz.coverage.measures import check_names
from armour.fuzz.kinds import KINDS
from armour.fuzz.manifest import is_empty, read_manifest
from armour.fuzz.mutators import MUTATORS
from armour.fuzz.oracles import ORACLES
from armour.fuzz.plugins import check_loaded
from armour.fuzz.schedules import SCHEDULES
from armour.fuzz.selection import load_named
from armour.report import Provenance, Report
from armour.report_build import data_info

PAGE, RESULT = "report.html", "report.json"
INTERRUPTED = 130
_CONFIG = ("schedule", "validity", "inputs", "mutators", "baseline", "islands", *NAMES)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")  # in a folder's name


@click.command()
@click.argument("model", type=MODEL, metavar="MODEL|URL")
@click.option(
    "--corpus",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    default=None,
    help="Folder for what is found. Default: MODEL-fuzz, or the next free MODEL-fuzz-2, ...",
)
@click.option("--resume", is_flag=True, help="Go on with a corpus; its settings are taken over.")
@stop_options
@samples_option(of="seeds")
@click.option(
    "--validity",
    type=click.Choice(["V0", "V1", "V2"]),
    default="V2",
    show_default=True,
    help="Level that a mutant must reach for a wrong label to count.",
)
@click.option(
    "--schedule",
    type=click.Choice(SCHEDULES.names()),
    default="niche",
    show_default=True,
    help="How seeds are chosen.",
)
@click.option(
    "--inputs",
    type=click.Choice(["auto", *KINDS.names()]),
    default="auto",
    show_default=True,
    help="What the inputs are. auto: images, arrays or whole numbers, by shape and model.",
)
@stating_options
@coverage_option(
    "Criteria to report: kmnc, nbc, snac are free; nc, tknc, tknp, nn, lsa, dsa cost little; scc, nlc more."
)
@mutators_option("What takes part: +NAME adds a mutator or plug-in, -NAME leaves one or a family out.")
@click.option(
    "--compare",
    metavar="[NAMES]",
    is_flag=False,
    flag_value=fuzz_compare.ALL,
    default=None,
    help="Instead: run schedules repeatedly and compare them with stacked random; names with commas, or all.",
)
@click.option(
    "--repeats", type=click.IntRange(min=1), default=None, help="Runs of each with --compare. Default: 20."
)
@click.option(
    "--no-baseline", is_flag=True, help="Leave out the stacked random search beside the guided one."
)
@click.option(
    "--islands",
    type=click.IntRange(1, MOST_ISLANDS),
    default=1,
    show_default=True,
    help="Searches side by side that exchange what they find. Their number is part of the result.",
)
@click.option("--fail-on-finding", is_flag=True, help="Exit with 1 if a failure was found.")
@lock_option
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    default=None,
    help="Processes that share the islands and their baselines; the result is the same. Default: as many as "
    "there are cores, at most one for each.",
)
@oracle_options
@data_option
@model_options
@seed_option
@device_option
@remote_options
@json_option
@quiet_option
@click.pass_context
def fuzz(
    context: click.Context,
    model: Path | str,
    corpus: Path | None,
    resume: bool,
    stops: dict[str, Any],
    samples: int,
    validity: str,
    schedule: str,
    inputs: str,
    coverage: str,
    schema: Path | None,
    dictionary: Path | None,
    mutators: str,
    compare: str | None,
    repeats: int | None,
    no_baseline: bool,
    islands: int,
    fail_on_finding: bool,
    lock: Path | None,
    jobs: int | None,
    judging: Judging,
    data: str | None,
    model_options: dict[str, Any],
    seed: int,
    device: str,
    remote: dict[str, Any],
    as_json: bool,
    quiet: bool,
) -> None:
    """Search for valid inputs that MODEL gets wrong, starting from inputs it gets right.

    MODEL is a file, or the URL of a served model (Open Inference Protocol v2). The seeds are the test part of
    the data set that MODEL records, or of --data. Stacked random mutation runs beside the guided search with
    as many executions, and both are reported. Ctrl-C saves what was found, and so does a server that stops
    answering; --resume goes on with it. --compare runs several schedules, repeatedly, and prints which find
    more than stacked random.
    """
    names = fuzz_compare.asked(compare, repeats, context)
    folder = corpus or default_folder(model, resume, "compare" if names else "fuzz")
    settings: dict[str, Any] = {"samples": samples, "data": data, "seed": seed, "validity": validity}
    settings |= {"schedule": schedule, "inputs": inputs, "mutators": mutators, "baseline": not no_baseline}
    settings["coverage"] = coverage
    settings["islands"] = islands
    load_named(mutators)
    check_names(_criteria(coverage), islands)
    if resume and not names:
        settings |= _recorded(context, folder)
        model_options = _stated_before(folder) | model_options
    elif not resume and not is_empty(folder):
        raise InvalidArgument(_occupied(model, folder, "--compare" if names else ""))
    target = load_model(model, model_options, remote=remote, device=device)
    judged = judged_by(
        judging, model, folder, resume=resume and not names, model_options=model_options, device=device
    )
    settings |= {**judged.settings, "words": judged.words}
    _check_place(folder)
    title = f"{target.name}, {settings['schedule']}, {settings['validity']}, seed {settings['seed']}"
    shown = progress(quiet, as_json) if names else screen(title, quiet, as_json)
    with shown as on_event:
        picked = choose(target, settings["data"], settings["samples"], settings["seed"], on_event)
        at, chosen = picked.at, picked.samples
        source = {
            "model": model if isinstance(model, str) else os.path.relpath(model, folder.resolve().parent),
            "data": settings["data"] or chosen.name,
            "samples": settings["samples"],
            "model_options": words(model_options),
            **judged.source,
        }
        settings["model_options"] = model_options
        if not quiet and not as_json and settings["data"] is None:
            what = "images" if chosen.x.ndim == 4 else "samples"
            click.echo(
                f"seeds: {len(at)} of the test {what} of {chosen.name}, which {model} records", err=True
            )
        config = FuzzConfig(
            coverage=_criteria(settings["coverage"]), **{name: settings[name] for name in _CONFIG}
        )
        settings["stated"] = stated_words(schema, dictionary)
        before = folder if resume and not names else None
        fuzzer = Fuzzer(
            target,
            chosen.x,
            chosen.y,
            corpus=folder,
            config=config,
            others=judged.others,
            source=source,
            aids=stated_aids(config.inputs, chosen.x, target, before, schema, dictionary),
        )
        searches = config.islands * (1 + config.baseline)
        workers = jobs or min(cores(), 2 if names else searches)
        if names:
            options = [*words(model_options), *judged.words, *settings["stated"]]
            plan = fuzz_compare.plan(context, model, folder, names, options)
            compared = plan.run(fuzzer, seed, resume, workers, on_event)
        try:
            result = (
                None
                if names
                else fuzzer.run(
                    **stops,
                    rng=settings["seed"],
                    resume=resume,
                    on_event=on_event,
                    jobs=workers,
                )
            )
        except (ArmourError, KeyboardInterrupt) as error:
            part = getattr(error, "partial", None)
            if isinstance(part, FuzzResult):
                if part.executions:
                    _report(part, target, chosen, folder, _command(model, part, settings))
                saved = f"{part.executions:,} executions and {part.classes} failure classes are saved"
                error.add_note(f"{saved}; go on with: {_resume(context, model, folder)}")
            raise
    if result is None:
        context.exit(0 if plan.show(compared, as_json, quiet) else INTERRUPTED)
    command = _command(model, result, settings)
    _report(result, target, chosen, folder, command)
    if as_json:
        print_json(fuzz_text.figures(result, folder / PAGE, command))
    elif not quiet:
        click.echo(fuzz_text.summary(result, target.name, folder / PAGE, command))
    if result.interrupted:
        click.echo(f"interrupted; go on with: {_resume(context, model, folder)}", err=True)
        context.exit(INTERRUPTED)
    counted = counting(sorted(result.guided.class_counts), lock) if fail_on_finding else []
    if counted:
        failing = sum(result.guided.class_counts[key] for key in counted)
        raise GateFailed(
            f"{failing} failing inputs in {len(counted)} classes at {result.validity}; "
            f"see them with: armour corpus replay {shlex.quote(str(folder))}"
        )


def default_folder(model: Path | str, resume: bool, purpose: str = "fuzz") -> Path:
    """MODEL-fuzz (or another purpose), or the next free number; with resume the last one that is there."""
    stem = _UNSAFE.sub("-", model.rstrip("/").rpartition("/")[2]) if isinstance(model, str) else model.stem
    number, folder = 1, Path(f"{stem}-{purpose}")
    while True:
        following = Path(f"{stem}-{purpose}-{number + 1}")
        if is_empty(folder) or (resume and is_empty(following)):
            return folder
        number, folder = number + 1, following


def _criteria(text: str) -> tuple[str, ...]:
    """The names of --coverage."""
    return tuple(name.strip() for name in text.split(",")) if text else ()


def _check_place(folder: Path) -> None:
    """InvalidArgument, before any work, if the folder cannot be made or written to."""
    new = not folder.exists()
    writable_folder(folder)
    if new:
        folder.rmdir()


def _recorded(context: click.Context, folder: Path) -> dict[str, Any]:
    """Settings of a corpus that is gone on with, where the command line does not state them."""
    if is_empty(folder):
        return {}
    manifest = read_manifest(folder)
    check_loaded(MUTATORS, manifest.get("plugins"), str(folder))
    check_loaded(ORACLES, manifest.get("oracle_plugins"), str(folder))
    source = manifest.get("source", {})
    known = {**(source if isinstance(source, dict) else {}), **manifest["config"]}
    if isinstance(known.get("coverage"), list):
        known["coverage"] = ",".join(map(str, known["coverage"]))
    names: dict[str, type] = dict.fromkeys(
        ("data", "validity", "schedule", "inputs", "mutators", "coverage"), str
    )
    names |= {"samples": int, "seed": int, "islands": int, "baseline": bool}
    given = {name: context.get_parameter_source(name) != ParameterSource.DEFAULT for name in names}
    given["baseline"] = context.get_parameter_source("no_baseline") != ParameterSource.DEFAULT
    return {
        name: known[name]
        for name, kind in names.items()
        if not given[name] and isinstance(known.get(name), kind)
    }


def _stated_before(folder: Path) -> dict[str, Any]:
    """What was stated about the model when the corpus was started."""
    return {} if is_empty(folder) else noted(read_manifest(folder))


def _resume(context: click.Context, model: Path | str, folder: Path) -> str:
    """What goes on with the corpus; what the corpus records need not be said again."""
    options = repeated(context, (*FLAGS, "device"))
    return shlex.join(["armour", "fuzz", str(model), "--corpus", str(folder), "--resume", *options])


def _occupied(model: Path | str, folder: Path, also: str) -> str:
    start = " ".join(["armour fuzz", shlex.quote(str(model)), *also.split(), "--corpus"])
    number = 2
    while not is_empty(folder.with_name(f"{folder.name}-{number}")):
        number += 1
    other = folder.with_name(f"{folder.name}-{number}")
    return (
        f"{folder} is not empty; go on with it: {start} {shlex.quote(str(folder))} --resume, "
        f"or start another: {start} {shlex.quote(str(other))}"
    )


def _command(model: Path | str, result: FuzzResult, settings: dict[str, Any]) -> str:
    """What gives the same result in a new corpus."""
    parts = ["armour", "fuzz", str(model), "--seed", str(result.seed)]
    parts += ["--executions", str(result.executions), "-n", str(settings["samples"])]
    if settings["data"] is not None:
        parts += ["--data", settings["data"]]
    defaults = {"validity": "V2", "schedule": "niche", "inputs": "auto", "mutators": ""}
    for name, default in (defaults | {"coverage": "kmnc,nbc,snac"}).items():
        if settings[name] != default:
            # In one word: a selection may begin with a minus.
            parts += [f"--{name}={settings[name]}"] if name == "mutators" else [f"--{name}", settings[name]]
    parts += settings["stated"]
    if not settings["baseline"]:
        parts.append("--no-baseline")
    if settings["islands"] != 1:
        parts += ["--islands", str(settings["islands"])]
    return shlex.join(parts + settings["words"] + words(settings["model_options"]))


def _report(result: FuzzResult, model: Model, chosen: Any, folder: Path, command: str) -> None:
    replayed = f"armour corpus replay {shlex.quote(str(folder))}"
    report = Report.from_fuzz(
        result,
        model,
        data=data_info(chosen, f"test part, stratified by class, chosen by seed {result.seed}"),
        mutators=result.mutators,
        provenance=Provenance(command=command, seed=result.seed, reproduce=(replayed, command)),
        title=f"Fuzzing of {model.name}",
    )
    report.save(folder / RESULT)
    report.to_html(folder / PAGE)
