"""`armour attack` and `armour fuzz` on the URL of a served model, well-behaved and not."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import small_models
from click.testing import CliRunner, Result
from http_fakes import Fake, Reply, Request, guard, http, tensor

from armour import attacks, save
from armour.attacks import FixedBudgetAttack
from armour.cli.main import main
from armour.contract import Model
from armour.criteria import Criterion
from armour.fuzz import Corpus
from armour.regions import F32
from armour.report import Report
from armour.rng import Streams
from armour.serving import Server

X, Y = small_models.digits(1797)
NET = small_models.centroids(X, Y)
NET.provenance["data"] = {"name": "digits"}
METADATA = {
    "name": "fake",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 1, 8, 8]}],
    "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, 10]}],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Corner(FixedBudgetAttack):
    """A random corner of the budget: an attack without gradients."""

    needs_gradient: ClassVar[bool] = False

    def run(self, model: Model, x: F32, criterion: Criterion, epsilon: float, *, rng: Streams) -> F32:
        step = np.where(rng.uniform(x.shape[1:]) < 0.5, -epsilon, epsilon).astype(np.float32)
        return np.clip(x + step, *model.bounds)


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    real = attacks.get
    monkeypatch.setattr(attacks, "get", lambda name: Corner if name == "corner" else real(name))
    with guard(120):
        yield


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Server(NET) as server:
        yield server.url


def armour(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def logits(request: Request) -> Reply:
    out = NET.logits(request.rows())
    return http(tensor(out.reshape(-1).tolist(), list(out.shape)))


def stops_after(requests: int, how: Reply = b"HTTP/1.1 500 Sick\r\nContent-Length: 0\r\n\r\n") -> Fake:
    def infer(request: Request) -> Reply:
        return logits(request) if request.number < requests else how

    return Fake(infer, metadata=METADATA)


DIGITS = ("--data", "digits", "--json")
QUICK = ("--retries", 1, "--timeout", "20")


def refused(result: Result, *messages: str, code: int = 2) -> str:
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
    for message in messages:
        assert message in result.stderr, result.stderr
    return result.stderr


# -- a server that answers --------------------------------------------------------------------------------


def test_a_served_model_is_attacked_like_the_model_itself(url: str) -> None:
    result = armour("attack", url, "--attack", "corner", "--epsilon", 0.2, "-n", 80, "--json", "-o", "a.npz")
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    with np.load("a.npz", allow_pickle=False) as saved:
        assert saved["complete"] and saved["adv"].shape == (1, 80, 1, 8, 8)
        right = NET.predict(saved["adv"][0]) == saved["y"]
        np.testing.assert_array_equal(saved["success"][0], ~right)
    assert shown["results"][0]["robust_accuracy"] == pytest.approx(right.mean())
    assert shown["model"] == "centroids" and shown["data"] == "digits" and shown["gradients"] == 0


def test_a_gradient_attack_says_what_to_use_instead(url: str) -> None:
    result = armour("attack", url, "--attack", "pgd", "--epsilon", 0.1)
    refused(result, "PGD needs gradients, and centroids is a black box", "armour fuzz", "armour.load(file)")


def test_a_served_model_is_fuzzed_and_replayed(url: str) -> None:
    result = armour("fuzz", url, "--executions", 400, "-n", 100, "--validity", "V1", "--json")
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    assert shown["executions"] == 400 and shown["corpus"] == "centroids-fuzz" and shown["classes"] > 0
    assert shlex.split(shown["command"])[:3] == ["armour", "fuzz", url]
    assert Corpus.read(Path("centroids-fuzz")).manifest["source"]["model"] == url
    refused(armour("corpus", "replay", "centroids-fuzz"), f"--model {url}")
    again = armour("corpus", "replay", "centroids-fuzz", "--model", url, "--json")
    assert again.exit_code == 0, again.output
    cases = json.loads(again.stdout)
    assert cases["model_changed"] is False and cases["still_fail"] == cases["failures"] > 0


def test_flags_that_do_not_fit(url: str) -> None:
    Path("m.ckpt").write_bytes(b"")
    for command in (("attack", "m.ckpt", "--epsilon", 0.1), ("fuzz", "m.ckpt"), ("serve", "m.ckpt")):
        refused(armour(*command, "--budget", 3, "--header-env", "A"), "--budget, --header-env is for a model")
    refused(armour("fuzz", url, "--device", "cuda"), "--device cuda is for a model in a file")
    refused(armour("fuzz", url, "--header-env", "NO_SUCH_VARIABLE"), "NO_SUCH_VARIABLE")
    refused(armour("fuzz", url, "--rate", 0), "rate")
    refused(armour("fuzz", "http://u:p@127.0.0.1/v2/models/m"), "--header-env")
    refused(armour("fuzz", url.replace("centroids", "other"), *QUICK), "status 404", "check the model's name")


EVALUATED = ("--epsilon", 0.1, "-n", 20, "--queries", 40)


def test_a_served_model_is_evaluated_like_the_model_itself(url: str) -> None:
    """The black-box preset from end to end: row, figures and checks are those of the network in a file."""
    result = armour("evaluate", url, "--attacks", "black-box", *EVALUATED, "--json", "-o", "r.json")
    assert result.exit_code == 0, result.output
    save(NET, "m.ckpt")
    blind = ("--attacks", "black-box", "--knowledge", "black-box")
    local = json.loads(armour("evaluate", "m.ckpt", *blind, *EVALUATED, "--json").stdout)
    shown = json.loads(result.stdout)
    assert shown["threat"]["knowledge"] == "black-box" and shown["attacks"] == local["attacks"]
    assert [row["name"] for row in shown["attacks"]] == ["Square", "Bandits", "HopSkipJump"]
    assert shown["robust_accuracy"] == local["robust_accuracy"] < shown["clean_accuracy"]
    assert all(row["gradients"] == 0 for row in shown["attacks"]) and shown["masking"] == "not examined"
    assert {row["id"]: row["status"] for row in shown["checks"]}["R03"] == "ok"
    words = shlex.split(Report.load("r.json").provenance.command)
    assert words[:3] == ["armour", "evaluate", url]
    again = json.loads(armour(*words[1:], "--json").stdout)
    assert again["sha256"] == shown["sha256"]


def test_what_needs_gradients_says_what_works_with_a_served_model(url: str) -> None:
    result = armour("evaluate", url, *EVALUATED)
    assert result.exit_code == 0 and "robust accuracy <= " in result.stdout
    assert "note: Preset standard needs gradients, and centroids is a black box" in result.stdout
    assert "black-box was run instead" in result.stdout
    refused(
        armour("evaluate", url, "--attacks", "pgd", *EVALUATED), "PGD needs gradients", "alone: ", "square"
    )


def test_an_evaluation_goes_on_where_the_server_stopped() -> None:
    with stops_after(10**9) as fake:
        whole = json.loads(armour("evaluate", fake.url, *EVALUATED, "--bounds", "0,1", *DIGITS).stdout)
    answered = [60]

    def infer(request: Request) -> Reply:
        answered[0] -= 1
        return logits(request) if answered[0] >= 0 else b"HTTP/1.1 500 Sick\r\nContent-Length: 0\r\n\r\n"

    with Fake(infer, metadata=METADATA) as fake:
        command = ("evaluate", fake.url, *EVALUATED, "--bounds", "0,1", *DIGITS, *QUICK, "-o", "r.json")
        refused(armour(*command), "asked 2 times", "r.state.npz", "--resume")
        answered[0] = 10**9
        found = json.loads(armour(*command, "--resume").stdout)
    assert found["attacks"] == whole["attacks"] and found["checks"] == whole["checks"]


# -- a server that stops ----------------------------------------------------------------------------------


def test_an_attack_that_breaks_off_leaves_what_is_finished() -> None:
    options = (
        "--attack",
        "corner",
        "--epsilon",
        0.1,
        "--epsilon",
        "0.3",
        "-n",
        200,
        "--bounds",
        "0,1",
        *QUICK,
    )
    Path("a.npz").write_bytes(b"of yesterday")
    # 1 request for the fingerprint, 4 for the clean answers, then 2 for each batch of at most 64.
    with stops_after(7) as fake:
        result = armour("attack", fake.url, *options, "--data", "digits", "-o", "a.npz")
        line = refused(result, f"{fake.url}/infer: status 500; asked 2 times", "a.incomplete.npz")
        assert Path("a.npz").read_bytes() == b"of yesterday"
    done = int(line.rsplit("; ", 1)[1].split()[0])
    assert 64 <= done < 200 and f"{done} of 200 samples are finished and in a.incomplete.npz" in line
    with np.load("a.incomplete.npz", allow_pickle=False) as saved:
        part = dict(saved)
    assert not part["complete"] and part["adv"].shape == (2, done, 1, 8, 8) and len(part["index"]) == done
    with Fake(logits, metadata=METADATA) as fake:
        whole = armour("attack", fake.url, *options, "--data", "digits", "-o", "b.npz")
        assert whole.exit_code == 0, whole.output
    with np.load("b.npz", allow_pickle=False) as saved:
        place = [saved["index"].tolist().index(i) for i in part["index"]]
        np.testing.assert_array_equal(saved["adv"][:, place], part["adv"])
        np.testing.assert_array_equal(saved["success"][:, place], part["success"])
    with stops_after(7) as fake:
        refused(armour("attack", fake.url, *options, "--data", "digits"), "lost without --output")


ENDINGS: dict[str, tuple[Reply, str]] = {
    "500": (http({"error": "out of memory"}, 500), "status 500 (out of memory); asked 2 times"),
    "shape": (http(tensor([0.0] * 9, [1, 9])), "1 rows of scores for"),
    "nan": (
        http('{"outputs":[{"name":"scores","shape":[1,1],"datatype":"FP32","data":[NaN]}]}'),
        "NaN, which JSON does not have",
    ),
    "html": (http("<p>", 200, {"Content-Type": "text/html"}), "an HTML page"),
    "timeout": ([], "timed out; asked 2 times"),
}


CAMPAIGN = ("--executions", 192, "-n", 60, "--validity", "V1", "--data", "digits", "--bounds", "0,1")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The corpus of a campaign whose server never failed."""
    folder = tmp_path_factory.mktemp("undisturbed") / "d"
    with Fake(logits, metadata=METADATA) as fake:
        result = armour("fuzz", fake.url, "--corpus", folder, *CAMPAIGN, "--json")
    assert result.exit_code == 0, result.output
    return small_models.contents(folder)


@pytest.mark.parametrize("name", ENDINGS)
def test_fuzzing_that_breaks_off_is_resumed(name: str, undisturbed: dict[str, bytes]) -> None:
    how, expected = ENDINGS[name]
    first = (*CAMPAIGN, *QUICK, *(("--timeout", 2) if name == "timeout" else ()))
    # 2 requests for seeds and fingerprint, some 20 for the first round, and fewer for later ones.
    with stops_after(60, how) as fake:
        if name == "timeout":
            fake.infer = lambda request: logits(request) if request.number < 60 else fake.hang()
        result = armour("fuzz", fake.url, "--corpus", "c", *first, "--rate", 5000)
        line = refused(result, expected, "samples were answered before")
        fake.infer = logits
        saved = line.rpartition("; go on with: ")
        assert saved[2].startswith(f"armour fuzz {fake.url} --corpus c --resume ")
        assert 0 < int(saved[0].rpartition("; ")[2].split()[0]) < 192
        assert Path("c/report.html").is_file() and Path("c/state.npz").is_file()
        again = armour(*shlex.split(saved[2])[1:], "--executions", 192, "--json")
        assert again.exit_code == 0, again.output
        assert json.loads(again.stdout)["executions"] == 192
    for key, content in undisturbed.items():
        if key.startswith(("failures", "corpus", "journal", "state", "seeds")):
            assert Path("c", key).read_bytes() == content, key


def test_a_table_is_sent_flat() -> None:
    with Fake(logits, metadata={"name": "fake", "inputs": METADATA["inputs"]}) as fake:
        words = ("-n", 20, "--data", "digits", "--bounds", "0,1", "--attack", "corner", "--epsilon", 0.1)
        fake.infer = lambda request: http(tensor([0.0] * 9 + [1.0], [1, 10]))
        refused(armour("attack", fake.url, *words, "--flatten"), "1 rows of scores for")
        assert json.loads(fake.requests[-1].body)["inputs"][0]["shape"][1:] == [64]


def test_ctrl_c_leaves_what_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [0]

    def run(self: Corner, model: Model, x: F32, *args: object, **options: object) -> F32:
        calls[0] += 1
        if calls[0] == 2:
            raise KeyboardInterrupt
        return x

    monkeypatch.setattr(Corner, "run", run)
    with Fake(logits, metadata=METADATA) as fake:
        words = ("-n", 200, "--data", "digits", "--bounds", "0,1", "--attack", "corner", "--epsilon", 0.1)
        result = armour("attack", fake.url, *words, "-o", "a.npz")
    line = result.stderr.strip()
    assert result.exit_code == 130 and line.startswith("error: interrupted; ") and "\n" not in line
    with np.load("a.incomplete.npz", allow_pickle=False) as saved:
        assert f"{len(saved['x'])} of 200 samples are finished and in a.incomplete.npz" in line
        assert 64 <= len(saved["x"]) < 200 and not saved["complete"]


def test_a_budget_ends_a_run_and_says_so() -> None:
    with Fake(logits, metadata=METADATA) as fake:
        result = armour(
            *("fuzz", fake.url, "--corpus", "c", "-n", 60, "--data", "digits", "--bounds", "0,1"),
            *("--budget", 1000, "--executions", 2000),
        )
        refused(
            result, "the budget of 1,000 samples is used up", "raise --budget; ", "--resume", "--budget 1000"
        )
        assert sum(len(r.rows()) for r in fake.requests if r.path.endswith("infer")) <= 1000


def test_a_token_is_in_no_file_and_no_output(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "t0p-s3cr3t"
    monkeypatch.setenv("ARMOUR_TEST_TOKEN", secret)
    with stops_after(16, http({"error": f"bad token {secret}"}, 403)) as fake:
        result = armour(
            *("fuzz", fake.url, "--corpus", "c", "-n", 60, "--data", "digits", "--bounds", "0,1"),
            *("--header-env", "ARMOUR_TEST_TOKEN", "--executions", 2000),
        )
        refused(result, "status 403 (bad token ***)", "--header-env ARMOUR_TEST_TOKEN")
        assert fake.requests[0].headers["authorization"] == f"Bearer {secret}"
    files = [path for path in Path("c").rglob("*") if path.is_file()]
    assert len(files) > 8 and secret not in result.output
    assert not [path for path in files if secret.encode() in path.read_bytes()]
    assert os.environ["ARMOUR_TEST_TOKEN"] == secret
