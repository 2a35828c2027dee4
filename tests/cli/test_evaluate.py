"""`armour evaluate`: text, JSON, report and exit code agree; Ctrl-C and --resume; a mistake is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from pages_html import check

import armour
from armour import evaluation
from armour.cli.main import main
from armour.report import Report


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {norm: (evaluation.presets.Wanted(("deepfool",), {"steps": 5}),) for norm in ("linf", "l2")}
    monkeypatch.setattr(evaluation.presets, "NEAREST", wanted)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def evaluate(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


def refused(result: Result, message: str, code: int = 2) -> None:
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert message in result.stderr and result.stdout == ""


OPTIONS: tuple[object, ...] = ("--attacks", "fgsm,pgd", "--epsilon", "0.1", "--epsilon", "4/255", "-n", 40)


def test_text_json_and_report_agree(model: Path, here: Path) -> None:
    result = evaluate(model, *OPTIONS, "-o", "r.json", "--report", "r.html")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    report = Report.load("r.json")
    section = report.evaluation
    assert section is not None and report.attacks[0].epsilons == (0.0156862745, 0.1)
    rate = report.attacks[0].robust[1]
    assert lines[0].startswith(f"robust accuracy <= {100 * rate.value:.1f} % (FGSM + PGD-40, Linf 0.1, n=40")
    assert lines[1] == "No sign of gradient masking."
    assert "wrote r.json" in lines and "wrote r.html" in lines
    page = check(Path("r.html").read_text(encoding="utf-8")).words
    assert "Attack by attack" in page and "No sign of gradient masking." in page
    assert report.provenance.command in page
    shown = json.loads(evaluate(model, *OPTIONS, "--json").stdout)
    assert shown["sha256"] == report.sha256 and shown["masking"] == "none"
    assert shown["robust_accuracy"] == rate.value and shown["threat"]["epsilon"] == 0.1
    assert [row["name"] for row in shown["attacks"]][:2] == ["FGSM", "PGD-40"]
    assert {"R01", "R03", "R12", "R21"} <= {row["id"] for row in shown["checks"]}
    assert sorted(p.name for p in here.iterdir()) == ["r.html", "r.json"], "no state is left behind"


def test_the_recorded_command_gives_the_report_again(model: Path, here: Path) -> None:
    import shlex

    evaluate(model, *OPTIONS, "--seed", 5, "-o", "a.json")
    first = Report.load("a.json")
    words = shlex.split(first.provenance.command)
    assert words[:2] == ["armour", "evaluate"]
    again = CliRunner().invoke(main, [*words[1:], "-o", "b.json"])
    assert again.exit_code == 0 and Report.load("b.json").sha256 == first.sha256


def test_ctrl_c_and_resume_give_the_same_report(
    model: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(model, *OPTIONS, "-o", "whole.json")
    real = evaluation.rules.RULES["R08"]

    def press(context: Any) -> Any:
        raise KeyboardInterrupt

    from dataclasses import replace

    monkeypatch.setitem(evaluation.rules.RULES, "R08", replace(real, function=press))
    result = evaluate(model, *OPTIONS, "-o", "r.json")
    assert result.exit_code == 130 and result.stdout == ""
    assert "r.state.npz" in result.stderr and "--resume" in result.stderr
    assert Path("r.state.npz").is_file() and not Path("r.json").exists()
    monkeypatch.setitem(evaluation.rules.RULES, "R08", real)
    assert evaluate(model, *OPTIONS, "-o", "r.json", "--resume").exit_code == 0
    assert Report.load("r.json").sha256 == Report.load("whole.json").sha256
    assert not Path("r.state.npz").exists()
    refused(
        evaluate(model, *OPTIONS, "-o", "r.json", "--resume"),
        "expected the state of an interrupted evaluation",
    )


def test_unsound_evidence_is_exit_code_3(model: Path, here: Path) -> None:
    """A file that holds every sample twice has some in both parts of its split; each once, in one part."""
    x, y = armour.data.load("digits", "train")
    net = armour.load(model)
    net.provenance["data"] = {"name": "train.npz"}
    armour.save(net, "m.ckpt")
    command = ("m.ckpt", "--attacks", "fgsm", "--epsilon", 0.1, "-o", "r.json")
    np.savez("train.npz", x=np.tile(x[:60], (2, 1, 1, 1)), y=np.tile(y[:60], 2))
    leaking = evaluate(*command)
    assert leaking.exit_code == 3 and leaking.stderr.count("\n") == 1
    assert leaking.stderr.startswith("error: the evidence is unsound: R24 20 of 24 samples are among the 58 ")
    assert leaking.stdout.startswith("robust accuracy <= "), "what was found is said all the same"
    assert {check.id: check.status for check in Report.load("r.json").checks}["R24"] == "error"
    np.savez("train.npz", x=x[:60], y=y[:60])
    sound = evaluate(*command)
    assert sound.exit_code == 0 and sound.stderr == ""
    assert {check.id: check.status for check in Report.load("r.json").checks}["R24"] == "ok"


def test_groups_of_a_file(model: Path, here: Path) -> None:
    _, y = armour.data.load("digits", "test")
    Path("g.csv").write_text(
        "id,kind\n" + "".join(f"{i},{'even' if v % 2 == 0 else 'odd'}\n" for i, v in enumerate(y))
    )
    np.save("g.npy", y % 2)
    result = evaluate(model, *OPTIONS, "--group", "g.csv:kind", "-o", "r.json")
    assert result.exit_code == 0, result.stderr
    section = Report.load("r.json").evaluation
    assert section is not None and [row.name for row in section.groups] == ["even", "odd"]
    assert "even" in result.stdout
    assert evaluate(model, *OPTIONS, "--group", "g.npy", "-q").output == ""
    refused(evaluate(model, *OPTIONS, "--group", "g.csv:colour"), "no column 'colour'; it has: id, kind")
    refused(evaluate(model, *OPTIONS, "--group", "none.csv"), "no file none.csv")
    np.save("short.npy", y[:5])
    refused(
        evaluate(model, *OPTIONS, "--group", "short.npy"), "expected the group of each of the 359 samples"
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((), "expected a budget to evaluate within; state one, such as --epsilon 8/255"),
        (("--epsilon", 8), "did you mean 8/255?"),
        (("--epsilon", 0.1, "--attacks", "standart"), "did you mean standard"),
        (("--epsilon", 0.1, "--norm", "l3"), "unknown norm 'l3'"),
        (
            ("--epsilon", 0.1, "--norm", "l2", "--attacks", "fgsm", "--knowledge", "blck"),
            "did you mean black-box",
        ),
        (("--epsilon", 0.1, "--attacks", "pgd", "--knowledge", "black-box"), "PGD needs gradients"),
        (("--epsilon", 0.1, "--report", "r.pdf"), "expected a file ending in"),
        (("--epsilon", 0.1, "-o", "nowhere/r.json"), "nowhere"),
        (("--epsilon", 0.1, "--data", "nothing.npz"), "nothing.npz"),
        (("--epsilon", "abc"), "abc"),
    ],
)
def test_a_mistake_is_one_line(model: Path, here: Path, arguments: tuple[object, ...], message: str) -> None:
    refused(evaluate(model, *arguments), message)


def test_nothing_to_evaluate_is_exit_code_5(model: Path, here: Path) -> None:
    result = evaluate(model, "--epsilon", 0.1, "--attacks", "pgd", "--seconds", "0.000001", "-n", 20)
    refused(result, "before the first attack had finished", 5)
