"""Keys of failures and the ledger that counts them."""

from __future__ import annotations

import numpy as np

from armour.fuzz.ledger import Ledger, class_key, pair_key, sha256


def test_keys() -> None:
    assert pair_key("label-flip", 3, 8) == "label-flip-3-8"
    assert pair_key("nonfinite", 3, -1) == "nonfinite-3-none"
    assert class_key("label-flip-3-8", ("blur", "noise")) == "label-flip-3-8-blur+noise"
    assert class_key("nonfinite-3-none", ()) == "nonfinite-3-none-identity"


def test_sha256_depends_on_values_alone() -> None:
    x = np.random.default_rng(0).random((1, 8, 8)).astype(np.float32)
    assert sha256(x) == sha256(np.asfortranarray(x)) == sha256(x.astype(np.float64))
    assert sha256(x) != sha256(x + np.float32(1e-6))


def test_counting() -> None:
    ledger = Ledger.empty(roots=4, classes=3)
    assert ledger.is_new("ab" * 32) and not ledger.is_new("ab" * 32) and ledger.is_new("cd" * 32)
    assert ledger.count("label-flip-0-1", "label-flip-0-1-noise", 2, 0, 1)
    assert not ledger.count("label-flip-0-1", "label-flip-0-1-noise", 3, 0, 1)
    assert ledger.count("label-flip-0-1", "label-flip-0-1-blur", 3, 0, 1)
    assert ledger.count("nonfinite-0-none", "nonfinite-0-none-blur", 0, 0, -1)
    assert ledger.pairs == {"label-flip-0-1": 3, "nonfinite-0-none": 1}
    assert ledger.classes_of(["label-flip-0-1"]) == {"label-flip-0-1": 2}
    assert ledger.distinct.sum() == 2 and ledger.broken.tolist() == [True, False, True, True]
    assert ledger.confusion[0, 1] == 3 and ledger.confusion.sum() == 3


def test_classes_of_a_pair_are_not_those_of_a_longer_number() -> None:
    ledger = Ledger.empty(roots=1, classes=20)
    ledger.count("label-flip-1-1", "label-flip-1-1-noise", 0, 1, 1)
    ledger.count("label-flip-1-11", "label-flip-1-11-noise", 0, 1, 11)
    assert ledger.classes_of(["label-flip-1-1", "label-flip-1-11"]) == {
        "label-flip-1-1": 1,
        "label-flip-1-11": 1,
    }
    assert ledger.classes_of([]) == {}


def test_variants_are_those_of_one_class_that_look_alike() -> None:
    ledger = Ledger.empty(roots=1, classes=2)
    prints = (0, 0b111111, 0b1111111, 0b111, 1 << 63)
    assert [ledger.variant("a", one) for one in prints] == [0, 0, 1, 0, 0]
    assert ledger.variant("b", 0b1111111) == 0
    assert {key: known.tolist() for key, known in ledger.variants.items()} == {"a": [0, 127], "b": [127]}


def test_stored_and_taken_over() -> None:
    ledger = Ledger.empty(roots=4, classes=3)
    ledger.variant("label-flip-0-1-blur", 2**64 - 1)
    ledger.groups["label-flip-0-1-blur+noise"] = "label-flip-0-1-noise"  # counted below
    for number in range(20):
        ledger.is_new(sha256(np.full(3, number)))
        ledger.count(
            "label-flip-0-1", f"label-flip-0-1-{'noise' if number % 2 else 'blur'}", number % 4, 0, 1
        )
    copy = Ledger.from_arrays(ledger.arrays())
    assert (
        copy.variant("label-flip-0-1-blur", 2**64 - 1) == 0
        and copy.variants["label-flip-0-1-blur"].dtype == np.uint64
    )
    assert copy.inputs == ledger.inputs and copy.groups == ledger.groups
    assert copy.pairs == ledger.pairs and copy.classes == ledger.classes
    for name, array in copy.arrays().items():
        np.testing.assert_array_equal(array, ledger.arrays()[name])
