import numpy as np
import pytest

from data.errors import DataError
from data.text import SPECIAL, Vocabulary

WORDS = Vocabulary((*SPECIAL, "a", "dog", "runs"))


def test_decoding_is_the_inverse_of_encoding():
    tokens = WORDS.encode("a dog runs", 7)
    assert tokens.tolist() == [1, 3, 4, 5, 2, 0, 0] and tokens.dtype == np.int32
    assert WORDS.decode(tokens) == "a dog runs"
    assert WORDS.decode([3, 4, 2, 5]) == "a dog"  # what follows the end is not text
    assert WORDS.decode([]) == "" and len(WORDS) == 6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WORDS.encode("a dgo", 9), "did you mean 'dog'"),
        (lambda: WORDS.encode("a dog runs", 4), "3 words does not fit into 4 tokens"),
        (lambda: Vocabulary(("a", "b", "c")), "begins with <pad>, <start>, <end>"),
        (lambda: Vocabulary((*SPECIAL, "a", "a")), "5 words has 4 different"),
    ],
)
def test_errors_are_one_line(make, message):
    with pytest.raises(DataError, match=message):
        make()
