"""Loads thousands of mutations of a valid model file, in a process of its own; says what came of it as JSON.

`python tests/hostile_worker.py FILE COUNT SEED OPTIONS`: nothing may be printed, run, or started; every file
either loads or ends in an ArmourError of one line, in less than ten seconds of work and with less than 1 GiB.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from hostile_mutations import mutated

import armour
from armour.errors import ArmourError
from armour.preprocessing import Preprocessing

SECONDS = 10  # of processor time: others may be at work on the machine
GIB = 1 << 30
# What nothing that reads a file has any business doing. Imports of our own modules are done before.
FORBIDDEN = (
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.remove", "os.rename", "os.mkdir"),
    *("subprocess.Popen", "pickle.find_class", "socket.", "ctypes.dlopen", "urllib.Request", "shutil."),
)


class Slow(BaseException):
    """A file took too long."""


def outcome(path: Path, options: dict[str, Any]) -> str:
    """ "loaded", the class of the error, or what was wrong, after "!"."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        armour.load(path, **options)
        return "loaded"
    except ArmourError as error:
        text = str(error)
        if not text.startswith(str(path)) or not text.isprintable() or len(text) > 1500 + len(str(path)):
            return f"!message {ascii(text)[:300]}"
        return type(error).__name__
    except Slow:
        return "!slow"
    except BaseException as error:
        return f"!{type(error).__name__}: {ascii(str(error))[:200]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def main() -> None:
    """Arguments as above; one line of JSON on stdout."""
    source, count, seed, options = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
    if "preprocessing" in options:
        options["preprocessing"] = Preprocessing(**options["preprocessing"])
    original = Path(source)
    raw = original.read_bytes()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("error")
    armour.load(original, **options)  # and with it, whatever is imported on the way
    seen: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[1], str) and set("wxa+") & set(arguments[1])
        if (event.startswith(FORBIDDEN) or writes) and str(arguments[0]) != str(target):
            seen.append(f"{event} {ascii(arguments)[:80]}")

    def alarm(*_: Any) -> None:
        raise Slow

    target = original.with_name(f"mutated{original.suffix}")
    signal.signal(signal.SIGPROF, alarm)
    keep, output = os.dup(1), original.with_name("printed.txt").open("wb")
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    sys.addaudithook(hook)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (pages + 2 * GIB, pages + 2 * GIB))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rng = np.random.default_rng(seed)
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    slowest = 0.0
    for i in range(count):
        changed, how = mutated(raw, rng)
        target.write_bytes(changed)
        start = time.process_time()
        result = outcome(target, options)
        slowest = max(slowest, time.process_time() - start)
        outcomes[result.partition(" ")[0]] += 1
        if result.startswith("!") or seen:
            faults.append(f"case {i} ({how}): {result} {'; '.join(seen)}")
            original.with_name(f"fault-{i}{original.suffix}").write_bytes(changed)
            seen.clear()
    sys.stdout.flush()
    output.close()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    facts = {
        "outcomes": outcomes,
        "faults": faults[:20],
        "printed": original.with_name("printed.txt").read_bytes()[:500].decode("utf-8", "replace"),
        "grown_kib": grown,
        "slowest": slowest,
    }
    os.write(keep, json.dumps(facts).encode())


if __name__ == "__main__":
    main()
