"""What the documents name exists: commands and their options, make targets, files, and Python names."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import sources

from armour.cli.main import COMMANDS, main

README = (sources.ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (sources.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MAKEFILE = (sources.ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))


def blocks(text: str, language: str) -> list[str]:
    """Fenced code in a language ("" for none)."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def shell_lines() -> list[str]:
    """Every `armour ...` of the README that is a command: in blocks, and in the first column of the table."""
    lines = [line.split("#")[0] for block in blocks(README, "") for line in block.splitlines()]
    lines += re.findall(r"^\| `(armour [^`]+)`", README, re.M)
    return sorted({line.strip() for line in lines if line.startswith("armour ")})


@pytest.mark.parametrize("line", shell_lines())
def test_commands_and_options_of_the_readme_exist(line: str) -> None:
    words = shlex.split(re.sub(r"[][,]", " ", line))
    command = main.get_command(click.Context(main), words[1])
    assert command is not None
    options = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    if isinstance(command, click.Group):
        subcommands = [word for word in words[2:] if word.islower() and not word.startswith("-")]
        assert subcommands and all(command.get_command(click.Context(command), s) for s in subcommands)
        options |= {o for s in command.commands.values() for param in s.params for o in param.opts}
    assert {word for word in words if word.startswith("-")} <= options | {"--help"}


def test_the_table_of_commands_is_the_table_of_commands() -> None:
    named = set(re.findall(r"^\| `armour (\w+)", README, re.M))
    assert named == set(COMMANDS)


@pytest.mark.parametrize("text", [README, CONTRIBUTING, (sources.ROOT / ".ci" / "run").read_text("utf-8")])
def test_make_targets_exist(text: str) -> None:
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.M)) <= TARGETS


def test_ci_runs_what_the_readme_or_contributing_names() -> None:
    run = sources.ROOT / ".ci" / "run"
    assert os.access(run, os.X_OK)
    steps = re.findall(r"^make ([a-z]+)$", run.read_text(encoding="utf-8"), re.M)
    assert steps == ["lint", "test", "conformance", "clients", "parity"]
    assert all(f"`make {step}" in README + CONTRIBUTING or f"make {step}" in README for step in steps)


def test_files_named_in_the_documents_exist() -> None:
    wrong = []
    for name in re.findall(r"`([\w./]+\.(?:py|toml|md|txt|j2))`", CONTRIBUTING + README):
        places = [sources.ROOT / name, *(folder / name for folder in sources.packages().values())]
        made = name in ("report.html", "model.ckpt", "report.json")
        if not made and not any(place.exists() for place in places):
            wrong.append(name)
    assert not wrong


@pytest.mark.parametrize("code", blocks(README, "python"))
def test_python_in_the_readme_imports_what_exists(code: str) -> None:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            assert all(hasattr(module, alias.name) for alias in node.names)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "armour":
            assert hasattr(importlib.import_module("armour"), node.attr)


@pytest.mark.parametrize("section", ["Bring your own model", "Defenses and certificates"])
def test_python_of_a_section_runs(section: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Blocks in order, as one program; what needs an extra that is not here is left out."""
    text = README.split(f"## {section}\n")[1].split("\n## ")[0]
    names: dict[str, Any] = {}
    ran = 0
    for code in blocks(text, "python"):
        wanted = re.findall(r"^(?:import|from) (\w+)", code, re.M)
        if all(importlib.util.find_spec(name) for name in wanted):
            exec(compile(code, f"README.md, {section}", "exec"), names)
            ran += 1
    assert ran and capsys.readouterr().out


def test_no_file_names_a_package_registry_or_a_place_on_one_machine() -> None:
    """Registries are pip's setting, and absolute paths are nobody else's."""
    if not (sources.ROOT / ".git").exists():
        pytest.skip("needs a git clone to know which files belong to the repository")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=sources.ROOT, capture_output=True, text=True, check=True
    ).stdout
    needles = ("index" + "-url", "find" + "-links", "files.python" + "hosted", "/ro" + "ot/")
    wrong = []
    for name in filter(None, listed.split("\0")):
        path = Path(sources.ROOT, name)
        if path.suffix in (".png", ".ckpt", ".npz") or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        wrong += [f"{name}: {needle}" for needle in needles if needle in text]
    assert not wrong, "\n".join(wrong)
