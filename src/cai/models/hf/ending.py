"""When a response is over, and the text that its tokens become."""

from collections.abc import Sequence

from cai.models.hf.batching import Row
from cai.models.hf.tokens import Tokenizer, decode
from cai.models.protocol import Completion, Usage
from cai.models.reasoning import OPENING, split_reasoning

_OPENING_TOKENS = 12
_SPARE_TOKENS = 4


class Ending:
    """Reads rows with the tokenizer. `stop_ids` are the tokens by which the model ends a turn."""

    def __init__(self, tokenizer: Tokenizer, stop_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._stop_ids = stop_ids

    def is_over(self, row: Row) -> bool:
        """Whether the model has ended its turn, a stop string has come, or the limit is reached."""
        return (
            row.written[-1] in self._stop_ids
            or len(row.written) >= row.limit
            or (bool(row.sampling.stop) and self._has_stopped(row))
        )

    def completion(self, row: Row) -> Completion:
        """The response, up to the first stop string, its reasoning apart."""
        has_ended = row.written[-1] in self._stop_ids
        text = decode(self._tokenizer, row.written[:-1] if has_ended else row.written)
        cut = _cut(text, row.sampling.stop)
        is_stopped = has_ended or len(cut) < len(text)
        reasoning, answer = split_reasoning(self._opening(row) + cut)
        return Completion(
            text=answer,
            stop_reason="stop" if is_stopped else "length",
            usage=Usage(len(row.prompt), len(row.written)),
            reasoning=reasoning,
        )

    def _has_stopped(self, row: Row) -> bool:
        # A token is a byte or more, so a stop string lies within as many tokens as it has bytes.
        # Those are looked at first: decoding everything at each token would be quadratic.
        longest = max(len(stop.encode()) for stop in row.sampling.stop) + _SPARE_TOKENS
        for written in (row.written[-longest:], row.written):
            text = decode(self._tokenizer, written)
            if len(_cut(text, row.sampling.stop)) == len(text):
                return False
        return True

    def _opening(self, row: Row) -> str:
        """`<think>` when the chat template wrote it, so that the response begins inside of it."""
        end = self._tokenizer.decode(
            row.prompt[-_OPENING_TOKENS:],
            skip_special_tokens=False,
            clean_up_tokenization_spaces=False,
        )
        return OPENING if end.rstrip().endswith(OPENING) else ""


def _cut(text: str, stops: Sequence[str]) -> str:
    found = [text.find(stop) for stop in stops if stop]
    return text[: min((place for place in found if place >= 0), default=len(text))]
