"""BLEU against values by hand and published examples, and the evaluator over a split."""

import types

import numpy as np
import pytest

from training.metrics.captions import CaptionScores, bleu

NAMES = ("<pad>", "<start>", "<end>", "the", "cat", "is", "on", "mat", "a", "dog")


def test_a_word_counts_as_often_as_in_a_reference():
    """Papineni et al. 2002, section 2.1: 2/7. Seven words are longer than the nearer reference: no brevity penalty."""
    references = ["the cat is on the mat", "there is a cat on the mat now here"]
    assert bleu(["the the the the the the the"], [references])[0] == pytest.approx(2 / 7)


def test_bleu_by_hand():
    # Of "the cat sat on the mat" against "the cat is on the mat": 5 of 6 words, 3 of 5 pairs, 1 of 4 triples, 0 of 3.
    found = bleu(["the cat sat on the mat"], [["the cat is on the mat"]])
    expected = [5 / 6, (5 / 6 * 3 / 5) ** (1 / 2), (5 / 6 * 3 / 5 * 1 / 4) ** (1 / 3), 0]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_short_answer_is_penalised_once_over_the_corpus():
    # c = 2 + 4, r = 4 + 4, every n-gram matches.
    found = bleu(["the cat", "a dog is on"], [["the cat is on"], ["a dog is on"]])
    np.testing.assert_allclose(found, np.exp(1 - 8 / 6) * np.ones(4), rtol=1e-12)
    # Of references that are equally near the shorter counts: 3 of 2 and 4, hence no penalty.
    assert bleu(["the cat is"], [["the cat is on", "the cat"]])[0] == 1


def test_bleu_is_that_of_nltk():
    """The example of nltk.translate.bleu_score.corpus_bleu, with the values of nltk 3.9."""
    candidates = [
        "It is a guide to action which ensures that the military always obeys the commands of the party",
        "he read the book because he was interested in world history",
    ]
    references = [
        [
            "It is a guide to action that ensures that the military will forever heed Party commands",
            "It is the guiding principle which guarantees the military forces always being under the command of the"
            " Party",
            "It is the practical guide for the army always to heed the directions of the party",
        ],
        ["he was interested in world history because he read the book"],
    ]
    expected = [0.9655172413793104, 0.8242803277698696, 0.7069430098960677, 0.5920778868801042]
    np.testing.assert_allclose(bleu(candidates, references), expected, rtol=1e-12)


def test_nothing_said_scores_nothing():
    assert bleu([""], [["the cat"]]) == [0, 0, 0, 0]


def test_the_evaluator_takes_all_captions_of_an_example():
    true = [["the cat is on the mat", "a cat"], ["a dog"], ["the dog"]]
    source = types.SimpleNamespace(
        info=types.SimpleNamespace(fields={"caption": types.SimpleNamespace(names=NAMES)}),
        truth=lambda ids: [{"captions": true[i]} for i in ids],
    )
    evaluator = CaptionScores("caption", "answer")
    sink = evaluator.start(source)
    a, the, cat, dog = (NAMES.index(word) for word in ("a", "the", "cat", "dog"))
    sink.add(np.array([2, 0]), {"answer": np.array([[the, cat, 2, dog], [a, cat, 2, 0]])})
    sink.add(np.array([1]), {"answer": np.array([[a, dog, 2, 0]])})
    numbers = sink.compute()
    assert numbers.keys() == evaluator.readings.keys()
    assert numbers["exact_match"] == pytest.approx(2 / 3)  # what follows <end> does not count
    assert numbers["bleu1"] == pytest.approx(5 / 6)
    assert numbers["bleu2"] == pytest.approx((5 / 6 * 2 / 3) ** 0.5)
