"""Words and tokens."""

import dataclasses
import functools
import re
from collections import Counter
from collections.abc import Iterable

import numpy as np

from data.errors import DataError, unknown

PAD, START, END = SPECIAL = ("<pad>", "<start>", "<end>")  # tokens 0, 1 and 2 of every vocabulary
UNKNOWN = "<unknown>"  # token 3 of a learned vocabulary


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """words[token] is a word; the first three are SPECIAL. It is the `names` of a field of kind tokens."""

    words: tuple[str, ...]

    def __post_init__(self):
        if self.words[:3] != SPECIAL:
            raise DataError(f"a vocabulary begins with {', '.join(SPECIAL)}, not with {', '.join(self.words[:3])}")
        if len(self._tokens) < len(self.words):
            raise DataError(f"a vocabulary of {len(self.words)} words has {len(self._tokens)} different ones")

    def __len__(self) -> int:
        return len(self.words)

    @functools.cached_property
    def _tokens(self) -> dict[str, int]:
        return {word: token for token, word in enumerate(self.words)}

    def encode(self, text: str, length: int) -> np.ndarray:
        """Words separated by spaces -> [length] int32: <start>, the words, <end>, then <pad>.

        Raises DataError for an unknown word and for a text of more than `length` - 2 words.
        """
        words = [START, *text.split(), END]
        for word in words:
            if word not in self._tokens:
                raise unknown("word", word, self.words)
        if len(words) > length:
            raise DataError(f"a text of {len(words) - 2} words does not fit into {length} tokens: {text[:60]!r}")
        return np.array([self._tokens[word] for word in words] + [0] * (length - len(words)), np.int32)

    def decode(self, tokens: Iterable[int]) -> str:
        """Tokens [T] -> the words before the first <end>, without <start> and <pad>."""
        words = []
        for token in tokens:
            if token == 2:
                break
            if token > 2:
                words.append(self.words[token])
        return " ".join(words)


def words_of(caption: str) -> str:
    """The words of a caption, separated by spaces: runs of letters, digits and apostrophes, in lower case."""
    return " ".join(re.findall(r"[\w']+", caption.lower()))


def learned(texts: Iterable[str], min_count: int = 1) -> Vocabulary:
    """SPECIAL, <unknown>, and the words that occur at least `min_count` times in `texts`, in alphabetical order."""
    counts = Counter(word for text in texts for word in text.split())
    return Vocabulary((*SPECIAL, UNKNOWN, *sorted(word for word, count in counts.items() if count >= min_count)))


def encode_any(vocabulary: Vocabulary, text: str, length: int) -> np.ndarray:
    """As `Vocabulary.encode` of a learned vocabulary, for any text: other words are <unknown>, a long text is cut."""
    words = [word if word in vocabulary._tokens else UNKNOWN for word in text.split()[: length - 2]]
    return vocabulary.encode(" ".join(words), length)
