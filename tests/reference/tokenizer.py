"""Writes tests/fixtures/tokenizer: a tiny byte-level BPE of the suite's kind, and what the `tokenizers` package answers
with it.

    python tests/reference/tokenizer.py

The text it is trained on and the texts it encodes are below, so the files depend on nothing else.
"""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

OUT = Path(__file__).resolve().parent.parent / "fixtures/tokenizer"

TRAINED_ON = [
    "When Mary and John went to the store, John gave a drink to Mary.",
    "When Anna and Peter went to the park, Peter gave a book to Anna.",
    "The keys to the cabinet are on the table. The key to the cabinets is on the table.",
    "The war lasted from the year 1732 to the year 1745.",
    "The capital of France is Paris. The capital of Italy is Rome.",
]

ASKED = [
    "",
    "a",
    " a",
    "When Mary and John went to the store",
    " John",
    "John ",
    "The keys to the cabinet",
    "the\nthe\n\nthe",
    "a  b   c    d",
    "\t tab",
    "1732 to 1745",
    "don't can't we'll I've",
    "<|endoftext|>",
    "one<|endoftext|>two",
    "<|endoftext",
    "Zürich, naïve café",
    "cafe\u0301",
    "Привет, мир",
    "日本語",
    "👍🏽 thumbs",
    "\u00a0\u200b",
    "x" * 40,
    "MiXeD CaSe",
    "!?!... --- ***",
    "trailing space ",
]


def train():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TRAINED_ON, trainer)
    # The suite's tokenizer knows runs of spaces as tokens that are looked for before anything else.
    tokenizer.add_tokens([AddedToken(" " * n, normalized=True) for n in (4, 3, 2)])
    return tokenizer


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    tokenizer = train()
    file = OUT / "tokenizer.json"
    file.write_text(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=True, separators=(",", ":")) + "\n")
    tokenizer = Tokenizer.from_file(str(file))
    cases = []
    for text in ASKED:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        cases.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False)})
    answers = {"n_ids": tokenizer.get_vocab_size(with_added_tokens=True), "cases": cases}
    (OUT / "answers.json").write_text(json.dumps(answers, indent=1) + "\n")


if __name__ == "__main__":
    main()
