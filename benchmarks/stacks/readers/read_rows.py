"""What each reader prints: a JSON object for every row, with the texts as its trainer has them.

`prompt` is the text before the response, with the chat template's own words between the turns.
`response`, or `chosen` and `rejected`, are what is trained on or set against each other.
"""

import json
import sys


def arguments():
    """The format, the file of rows and the folder of the tokenizer."""
    _, format, file, tokenizer = sys.argv
    return format, file, tokenizer


def show(**texts):
    """Prints what the trainer has of one row."""
    print(json.dumps({"row": texts}))


def split(tokenizer, ids, labels):
    """The texts that are not trained on and those that are, without control tokens."""
    masked = [token for token, label in zip(ids, labels, strict=True) if label == -100]
    trained = [token for token, label in zip(ids, labels, strict=True) if label != -100]
    return plain(tokenizer, masked), plain(tokenizer, trained)


def plain(tokenizer, ids):
    return tokenizer.decode(ids, skip_special_tokens=True).strip()
